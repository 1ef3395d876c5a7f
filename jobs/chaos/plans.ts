import { mulberry32, type Random } from '#core/ports'
import type { NetworkFault } from '#infra/relay'
import type { BrokerRole, ChaosPlan, Fault, Harm, Lane, NetworkPlace } from './schedule.ts'

const SLOTS = ['w0', 'w1']
/** Longer than the session timeout of a group member (10 s): whoever stood still comes back as a zombie. */
const ZOMBIE_MS = 13_000
/** Longer than the session of a broker (3 s): it comes back to a cluster that has gone on without it. */
const BROKER_STOP_MS = 5000
/** Longer than a request is waited for (30 s). */
const LONG_SILENCE_MS = 34_000
const LONG_OUTAGE_MS = 60_000
/** In turn, on three brokers. */
const ROLES: readonly BrokerRole[] = [
  'leader',
  'group coordinator',
  'transaction coordinator',
  'controller',
  'any',
]

/** Draws of a schedule; equal seeds give equal schedules. */
interface Draws {
  between(least: number, most: number): number
  chance(share: number): boolean
  pick<T>(list: readonly T[]): T
  integer(): number
}

function drawsOf(random: Random): Draws {
  return {
    between: (least, most) => Math.round(least + random.uniform() * (most - least)),
    chance: (share) => random.uniform() < share,
    pick: (list) => list[random.uint32() % list.length]!,
    integer: () => random.uint32(),
  }
}

const after = (gapMs: number, forMs: number, harm: Harm, settled = false): Fault => ({
  gapMs,
  forMs,
  ...harm,
  ...(settled ? { settled } : {}),
})

/** Settings of `longPlan`. */
export interface LongPlanOptions {
  readonly seed: number
  readonly brokers: 1 | 3
  readonly kills: number
}

/**
 * Two workers that share the partitions, and `kills` kills: half of them of workers, a third of brokers, the others
 * of ClickHouse. Beside them stand zombies, full disks, outages and networks that fail.
 */
export function longPlan({ seed, brokers, kills }: LongPlanOptions): ChaosPlan {
  const brokerKills = Math.round(kills * 0.3)
  const clickhouseKills = Math.round(kills * 0.2)
  const workerKills = kills - brokerKills - clickhouseKills
  const lanes: Lane[] = SLOTS.map((slot, i) => ({
    name: slot,
    faults: workerLane(draws(seed, i), slot, Math.floor((workerKills + i) / SLOTS.length)),
  }))
  lanes.push({ name: 'kafka', faults: brokerLane(draws(seed, 10), brokers, brokerKills) })
  lanes.push({ name: 'clickhouse', faults: clickhouseLane(draws(seed, 20), clickhouseKills) })
  lanes.push({ name: 'registry', faults: registryLane(draws(seed, 30), Math.ceil(kills / 20)) })
  for (const [i, slot] of SLOTS.entries())
    lanes.push({
      name: `network of ${slot}`,
      faults: networkLane(draws(seed, 40 + i), slot, brokers, Math.ceil(kills / 6)),
    })
  lanes.push({ name: 'network', faults: partsLane(draws(seed, 50), Math.ceil(kills / 12)) })
  return { seed, brokers, slots: SLOTS, lanes, leastLoadMs: 20_000 }
}

/** Each lane draws for itself: a change of one leaves the others as they were. */
const draws = (seed: number, lane: number): Draws => drawsOf(mulberry32((seed ^ (lane * 0x9e3779b1)) >>> 0))

function workerLane(d: Draws, slot: string, kills: number): Fault[] {
  const faults: Fault[] = []
  for (let i = 0; i < kills; i++) {
    const kill = { kind: 'kill worker', slot } as const
    faults.push(after(d.between(500, 8000), d.between(0, 2500), kill, d.chance(0.7)))
    if (i % 10 === 4)
      faults.push(after(d.between(1000, 4000), ZOMBIE_MS, { kind: 'stop worker', slot }, true))
  }
  return faults
}

function brokerLane(d: Draws, brokers: 1 | 3, kills: number): Fault[] {
  const faults: Fault[] = []
  for (let i = 0; i < kills; i++) {
    const role = brokers === 1 ? 'any' : ROLES[i % ROLES.length]!
    const aim = { role, draw: d.integer() }
    faults.push(after(d.between(1500, 6000), d.between(0, 3000), { kind: 'kill broker', ...aim }))
    // The only broker that stood still would take itself for fenced: that ends transactions, as a crash does not.
    if (brokers > 1 && i % 8 === 5)
      faults.push(after(d.between(1500, 4000), BROKER_STOP_MS, { kind: 'stop broker', ...aim }))
  }
  return faults
}

function clickhouseLane(d: Draws, kills: number): Fault[] {
  const faults: Fault[] = []
  for (let i = 0; i < kills; i++) {
    const longest = i === kills >> 1
    const downMs = longest ? LONG_OUTAGE_MS : d.chance(0.1) ? d.between(8000, 25_000) : d.between(0, 3000)
    faults.push(after(d.between(1500, 6000), downMs, { kind: 'kill clickhouse' }))
    if (i % 5 === 2) faults.push(after(d.between(1000, 4000), d.between(2000, 8000), { kind: 'disk full' }))
  }
  return faults
}

function registryLane(d: Draws, times: number): Fault[] {
  const down = (): Fault => after(d.between(4000, 20_000), d.between(2000, 15_000), { kind: 'registry down' })
  return Array.from({ length: times }, down)
}

function networkLane(d: Draws, slot: string, brokers: 1 | 3, times: number): Fault[] {
  return Array.from({ length: times }, (_, i) => {
    const node = brokers > 1 && d.chance(0.6) ? 1 + (d.integer() % brokers) : 0
    const fault = networkFault(d)
    const long = fault.kind === 'half-open' && i % 6 === 5
    const forMs = long ? LONG_SILENCE_MS : d.between(500, fault.kind === 'latency' ? 12_000 : 6000)
    const between: NetworkPlace = { part: 'kafka', slot, node }
    return after(d.between(2000, 9000), forMs, { kind: 'network', between, fault })
  })
}

/** Between workers and the other parts. */
function partsLane(d: Draws, times: number): Fault[] {
  return Array.from({ length: times }, () => {
    const between: NetworkPlace = { part: d.chance(0.7) ? 'clickhouse' : 'registry' }
    const harm = { kind: 'network', between, fault: networkFault(d) } as const
    return after(d.between(3000, 15_000), d.between(500, 10_000), harm)
  })
}

function networkFault(d: Draws): NetworkFault {
  const direction = d.pick(['both', 'requests', 'answers'] as const)
  switch (d.pick(['latency', 'half-open', 'half-open', 'reset', 'cut', 'bandwidth'] as const)) {
    case 'latency':
      return { kind: 'latency', delayMs: d.between(5, 300), jitterMs: d.between(0, 200), direction }
    case 'bandwidth':
      return { kind: 'bandwidth', bytesPerSecond: d.between(20_000, 200_000), direction }
    case 'half-open':
      return { kind: 'half-open', direction, healing: d.pick(['deliver', 'reset'] as const) }
    case 'reset':
      return { kind: 'reset', afterBytes: d.chance(0.3) ? 0 : d.between(10, 20_000) }
    default:
      return { kind: 'cut' }
  }
}

/** Settings of `shortPlan`. */
export interface ShortPlanOptions {
  readonly seed: number
  readonly brokers: 1 | 3
}

/** Every kind of fault at least once, side by side, within half a minute; the order and the times are drawn. */
export function shortPlan({ seed, brokers }: ShortPlanOptions): ChaosPlan {
  return brokers === 1 ? shortOnOne(seed) : shortOnThree(seed)
}

function shortOnOne(seed: number): ChaosPlan {
  const d = draws(seed, 0)
  const soon = () => d.between(500, 2500)
  const kill = (slot: string): Fault => after(soon(), d.between(0, 1500), { kind: 'kill worker', slot }, true)
  const zombie = after(soon(), ZOMBIE_MS, { kind: 'stop worker', slot: 'w1' }, true)
  const silence: NetworkFault = { kind: 'half-open', direction: 'answers', healing: 'reset' }
  const lanes: Lane[] = [
    { name: 'w0', faults: [kill('w0'), kill('w0')] },
    { name: 'w1', faults: [zombie, kill('w1')] },
    { name: 'kafka', faults: [brokerKill(d, 'any', 7000)] },
    {
      name: 'clickhouse',
      faults: [
        after(d.between(3000, 5000), 3000, { kind: 'disk full' }),
        after(soon(), d.between(0, 2000), { kind: 'kill clickhouse' }),
      ],
    },
    { name: 'registry', faults: [after(soon(), 6000, { kind: 'registry down' })] },
    { name: 'network of w0', faults: [...onNetwork(d, 'w0', 0, silence), ...onNetwork(d, 'w0', 0)] },
  ]
  return { seed, brokers: 1, slots: SLOTS, lanes, leastLoadMs: 22_000 }
}

/** Each role once, with one worker: three brokers are enough for two cores. */
function shortOnThree(seed: number): ChaosPlan {
  const d = draws(seed, 0)
  const roles: BrokerRole[] = ['leader', 'group coordinator', 'transaction coordinator']
  const slot = 'w0'
  const killed = after(d.between(3000, 9000), d.between(0, 1500), { kind: 'kill worker', slot }, true)
  const lanes: Lane[] = [
    { name: slot, faults: [killed] },
    { name: 'kafka', faults: roles.map((role) => brokerKill(d, role, 1000)) },
    { name: 'network of w0', faults: onNetwork(d, slot, 1 + (d.integer() % 3)) },
  ]
  return { seed, brokers: 3, slots: [slot], lanes, leastLoadMs: 15_000 }
}

const brokerKill = (d: Draws, role: BrokerRole, gapMs: number): Fault =>
  after(gapMs + d.between(0, 2000), d.between(0, 1000), { kind: 'kill broker', role, draw: d.integer() })

const onNetwork = (d: Draws, slot: string, node: number, fault = networkFault(d)): Fault[] => [
  after(d.between(2000, 5000), d.between(1000, 4000), {
    kind: 'network',
    between: { part: 'kafka', slot, node },
    fault,
  }),
]
