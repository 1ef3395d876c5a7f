import { createPause, systemTimers } from '#core/ports'
import type { Part } from '#infra/local'
import { DECISIONS, FEATURES, FORECASTS } from '#traffic-routing'
import type { BrokerRole, Harm } from './schedule.ts'
import type { Testbed } from './testbed.ts'
import type { WorkerProcess } from './worker-process.ts'

/** A harm that has been done. */
export interface Done {
  /** What it hit, beyond what the schedule says; '' if nothing. */
  readonly found: string
  /** Puts it right; resolves when the part is back, but not when workers have recovered. */
  heal(): Promise<void>
}

/** What harms are done to. */
export interface Victims {
  readonly testbed: Testbed
  readonly workers: readonly WorkerProcess[]
  /** Of topics, groups and transactional ids. */
  readonly prefix: string
  readonly onEvent: (text: string) => void
}

/** Until all replicas are in sync again, before the next broker may be killed. */
const WELL_LIMIT_MS = 30_000
const LOOK_MS = 200
const START_ATTEMPTS = 3

/** Does a harm. Null: it cannot be done here; `onEvent` was told why. */
export async function doHarm(victims: Victims, harm: Harm): Promise<Done | null> {
  const { testbed } = victims
  switch (harm.kind) {
    case 'kill worker':
    case 'stop worker':
      return await harmWorker(victims, harm.slot, harm.kind)
    case 'kill broker':
    case 'stop broker':
      return await harmBroker(victims, harm)
    case 'kill clickhouse': {
      const { clickhouse } = testbed.stack.parts
      await clickhouse?.kill9()
      return { found: '', heal: () => startAgain(clickhouse) }
    }
    case 'registry down': {
      const { registry } = testbed.stack.parts
      await registry?.stop()
      return { found: '', heal: () => startAgain(registry) }
    }
    case 'disk full':
      return fillDisk(victims)
    case 'network': {
      const heals = testbed.relaysOf(harm.between).map((relay) => relay.inject(harm.fault))
      return { found: '', heal: async () => void (await Promise.all(heals.map((heal) => heal()))) }
    }
  }
}

async function harmWorker(
  { workers }: Victims,
  slot: string,
  kind: 'kill worker' | 'stop worker',
): Promise<Done | null> {
  const worker = workers.find((w) => w.slot === slot)
  if (worker === undefined) return null
  if (kind === 'stop worker') {
    const thaw = worker.freeze()
    return { found: '', heal: async () => thaw() }
  }
  const revive = await worker.kill()
  return { found: '', heal: async () => revive() }
}

async function harmBroker(
  victims: Victims,
  { kind, role, draw }: { kind: 'kill broker' | 'stop broker'; role: BrokerRole; draw: number },
): Promise<Done | null> {
  const { testbed, onEvent } = victims
  const { brokers } = testbed.stack
  const target = await findBroker(victims, role, draw)
  const part = brokers[target.node - 1]
  const pid = part?.running?.pid
  if (part === undefined || pid === undefined) return null
  const well = async (): Promise<void> => {
    if (brokers.length > 1) await untilWell(testbed, onEvent)
  }
  const found = brokers.length > 1 ? `broker ${target.node}${target.why}` : ''
  if (kind === 'kill broker') {
    await part.kill9()
    return { found, heal: () => startAgain(part).then(well) }
  }
  process.kill(pid, 'SIGSTOP')
  const goOn = async (): Promise<void> => {
    process.kill(pid, 'SIGCONT')
    await well()
  }
  return { found, heal: goOn }
}

/** Who has this role now. */
async function findBroker(
  { testbed, workers, prefix }: Victims,
  role: BrokerRole,
  draw: number,
): Promise<{ node: number; why: string }> {
  const { roles, stack } = testbed
  const count = stack.brokers.length
  if (count === 1 || role === 'any') return { node: 1 + (draw % count), why: '' }
  if (role === 'controller') return { node: await roles.controller(), why: ', the controller' }
  const pick = (names: readonly string[]): string => `${prefix}${names[draw % names.length]}`
  if (role === 'leader') {
    const topic = pick(['telemetry.flows', 'features.streams', 'telemetry.regions', 'features.regions'])
    return { node: await roles.leader(topic, 0), why: `, leader of ${topic}-0` }
  }
  const groups = [FEATURES, FORECASTS, DECISIONS, 'warehouse']
  const kind = role === 'group coordinator' ? 'group' : 'transaction'
  const slot = workers[draw % workers.length]?.slot ?? ''
  const key = kind === 'group' ? pick(groups) : `${pick(groups)}-${slot}`
  return { node: await roles.coordinator(kind, key), why: `, coordinator of ${kind} ${key}` }
}

/** Parts need others to start, which may be away, too: a service manager would try again. */
async function startAgain(part: Part | undefined): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await part?.start()
      return
    } catch (error) {
      if (attempt === START_ATTEMPTS) throw error
    }
  }
}

async function untilWell({ roles }: Testbed, onEvent: (text: string) => void): Promise<void> {
  const pause = createPause(systemTimers)
  const deadline = performance.now() + WELL_LIMIT_MS
  for (;;) {
    const unwell = await roles.unwell()
    if (unwell.length === 0) return
    if (performance.now() > deadline)
      return onEvent(`${unwell.length} partitions still lack a replica in sync: ${unwell.slice(0, 3).join()}`)
    await pause.wait(LOOK_MS)
  }
}

function fillDisk({ testbed, onEvent }: Victims): Done | null {
  const { disk } = testbed
  if (disk.missing !== '') {
    onEvent(`skipped: full disk of clickhouse: ${disk.missing}`)
    return null
  }
  disk.fill()
  return { found: '', heal: async () => disk.clear() }
}
