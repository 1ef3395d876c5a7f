import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { atMost, nearestRank, sorted, type Target } from '#core/evaluation'
import { mulberry32, type Random } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { freePort, startKafka } from '#infra/local'
import { startRegistry } from '#infra/registry'
import type { DataMove, DataMovePhase, DataMoveState } from '#schemas'
import { type MoveReport, type MovesDriver, startMovesDriver } from './moves-driver.ts'
import { type KillableInstance, startKillable } from './moves-instances.ts'
import { startMovesLoad } from './moves-load.ts'
import { type Audit, auditRows } from './moves-audit.ts'

/** What `npm run bench -- moves` prints last. */
export interface MovesBench extends Audit {
  readonly case: 'moves'
  /** Rows lost, doubled or read too early, all together. */
  readonly figure: number
  readonly unit: 'rows lost, doubled or read too early'
  readonly peer: null
  readonly ratio: null
  readonly runs: readonly number[]
  readonly seed: number
  readonly moves: Readonly<Record<string, number>>
  readonly kills: Readonly<Record<string, number>>
  readonly killsByPhase: Readonly<Record<string, number>>
  readonly violations: number
  readonly rows: number
  readonly inserts: number
  readonly repeats: number
  readonly reads: number
  readonly pauseP99Ms: number
  readonly pauseMaxMs: number
  readonly reverseMaxMs: number
  readonly insertP50Ms: number
  readonly insertP99Ms: number
  readonly seconds: number
  readonly targets: readonly Target[]
}

const SEGMENTS = 16
const PARTITIONS = 4
const KEYS = 256
const SESSIONS = 2
const REVERSIBLE_MS = 400
const MOVE_MS = 120_000
/** Share of moves that are taken back once they are switched. */
const REVERSED = 0.15
/** A kill comes this long after a phase began, ms: at its beginning, in the middle, or after it. */
const KILL_WITHIN_MS = 120

type Victim = 'router' | 'source' | 'target'
const VICTIMS: readonly Victim[] = ['router', 'source', 'target']
const PHASES: readonly DataMovePhase[] = [
  'copying',
  'joining',
  'verifying',
  'switched',
  'dropping',
  'reversing',
]

/** What is to happen to one move. */
interface Plan {
  readonly killIn: DataMovePhase
  readonly victim: Victim
  readonly afterMs: number
  readonly reverses: boolean
}

/** Every phase and victim in turn, so that 18 moves have met all; the rest is drawn. */
function planOf(i: number, random: Random): Plan {
  const killIn = PHASES[i % PHASES.length] as DataMovePhase
  return {
    killIn,
    victim: VICTIMS[Math.floor(i / PHASES.length) % VICTIMS.length] as Victim,
    afterMs: Math.floor(random.uniform() * KILL_WITHIN_MS),
    reverses: killIn === 'reversing' || (killIn !== 'dropping' && random.uniform() < REVERSED),
  }
}

/** A move of a random segment from one that answers its reads to one that does not. */
function choose(readers: string[][], names: readonly string[], i: number, random: Random) {
  const segment = random.uint32() % SEGMENTS
  const [from = names[0] as string] = readers[segment] ?? []
  const others = names.filter((name) => !(readers[segment] ?? []).includes(name))
  const to = others[random.uint32() % others.length] as string
  const move: DataMove = { move_id: `m${i}`, kind: 'move', from, to }
  return { segment, move }
}

interface World {
  readonly driver: MovesDriver
  readonly instances: readonly KillableInstance[]
  readonly random: Random
  /** Called with every phase that is written. */
  readonly listeners: Set<(state: DataMoveState) => void>
  readonly kills: Record<string, number>
  readonly killsByPhase: Record<string, number>
  readonly reverseMs: number[]
}

const delay = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
const OVER: readonly DataMovePhase[] = ['done', 'reversed', 'failed']

/** Who answers reads of each segment, once somebody does of all: an instance may take its time to answer after a kill. */
async function placedReaders(driver: MovesDriver): Promise<string[][]> {
  for (;;) {
    const { readers } = await driver.readers()
    if (readers.every((names) => names.length > 0)) return readers
    await delay(100)
  }
}

/** One move with its kill; resolves with how it ended. */
async function runMove(world: World, i: number): Promise<string> {
  const { driver, instances, random } = world
  const plan = planOf(i, random)
  const readers = await placedReaders(driver)
  const { segment, move } = choose(
    readers,
    instances.map(({ name }) => name),
    i,
    random,
  )
  const over = Promise.withResolvers<string>()
  const kills: Promise<void>[] = []
  let killed = false
  let reversedAtMs = 0
  const kill = async (): Promise<void> => {
    await delay(plan.afterMs)
    world.kills[plan.victim] = (world.kills[plan.victim] ?? 0) + 1
    world.killsByPhase[plan.killIn] = (world.killsByPhase[plan.killIn] ?? 0) + 1
    const name = plan.victim === 'source' ? move.from : move.to
    if (plan.victim === 'router') await driver.kill()
    else await instances.find((instance) => instance.name === name)?.kill()
  }
  const onPhase = (state: DataMoveState): void => {
    if (state.move_id !== move.move_id) return
    // A kill on the way would be timed, too.
    if (state.phase === 'reversing' && reversedAtMs > 0 && !killed)
      world.reverseMs.push(performance.now() - reversedAtMs)
    if (state.phase === plan.killIn && !killed) {
      killed = true
      kills.push(kill())
    }
    // The kill of a switched move may take the order to go back with it: it is given again after the restart.
    if (state.phase === 'switched' && plan.reverses) {
      reversedAtMs = performance.now()
      driver.send({ do: 'reverse', moveId: move.move_id })
    }
    if (state.phase === 'failed') process.stderr.write(`${state.move_id} failed: ${state.reason}\n`)
    if (OVER.includes(state.phase)) over.resolve(state.phase)
  }
  world.listeners.add(onPhase)
  const late = setTimeout(() => over.resolve('late'), MOVE_MS)
  driver.send({ do: 'move', segment, move })
  const end = await over.promise
  clearTimeout(late)
  world.listeners.delete(onPhase)
  await Promise.all(kills)
  return end
}

/** Runs `count` moves under load, with a kill in each. */
export async function benchMoves(
  count: number,
  seed: number,
  print: (line: string) => void,
): Promise<MovesBench> {
  const folder = mkdtempSync(join(tmpdir(), 'forestall-moves-'))
  const beganMs = performance.now()
  const ends: (() => Promise<unknown>)[] = [async () => rmSync(folder, { recursive: true, force: true })]
  try {
    const kafka = await startKafka({ dataDir: join(folder, 'kafka'), partsDir: join('.forestall', 'parts') })
    ends.push(() => kafka.stop())
    const broker = createBroker({ bootstrapBrokers: [kafka.broker], clientId: 'bench' })
    ends.push(() => broker.close())
    const registry = await startRegistry({ broker, port: await freePort() })
    ends.push(() => registry.stop())
    const instances = await Promise.all(['a', 'b', 'c'].map((name) => startKillable(name, folder)))
    ends.push(() => Promise.all(instances.map((instance) => instance.stop())))
    for (const { url } of instances) {
      const sql = 'CREATE TABLE orders (k String, n UInt64) ENGINE = MergeTree PARTITION BY n % 2 ORDER BY k'
      await fetch(url, { method: 'POST', body: sql })
    }
    const listeners = new Set<(state: DataMoveState) => void>()
    const pauses: number[] = []
    const onReport = (report: MoveReport): void => {
      if (report.kind === 'pause') pauses.push(report.elapsedMs)
      const states = report.kind === 'phase' ? [report.state] : report.kind === 'ready' ? report.states : []
      for (const state of states) for (const listener of listeners) listener(state)
    }
    const port = await freePort()
    const driver = await startMovesDriver(
      {
        brokers: [kafka.broker],
        registryUrl: registry.url,
        prefix: 'bench.',
        reversibleMs: REVERSIBLE_MS,
        config: {
          service: 'bench',
          instances: instances.map(({ name, url }) => ({ name, url })),
          tables: [{ table: 'orders', keyColumn: 'k' }],
          segments: SEGMENTS,
          partitions: PARTITIONS,
          port,
          bindSessions: false,
        },
      },
      onReport,
    )
    ends.push(() => driver.stop())
    const random = mulberry32(seed)
    const keys = Array.from({ length: KEYS }, (_, i) => `k${i}`)
    const load = startMovesLoad({
      url: `http://127.0.0.1:${port}`,
      keys,
      sessions: SESSIONS,
      random: mulberry32(seed + 1),
    })
    const world: World = { driver, instances, random, listeners, kills: {}, killsByPhase: {}, reverseMs: [] }
    const moves: Record<string, number> = {}
    for (let i = 0; i < count; i++) {
      const end = await runMove(world, i)
      moves[end] = (moves[end] ?? 0) + 1
      if ((i + 1) % 10 === 0 || end === 'late')
        process.stderr.write(`${i + 1} of ${count} moves, ${load.counters.inserts} inserts, ${end}\n`)
    }
    await load.stop()
    const audit = await auditRows(driver, instances, load.written, SEGMENTS)
    const { inserts, repeats, reads, violations } = load.counters
    for (const line of [...load.details, ...audit.details]) print(line)
    const rows = [...load.written.values()].reduce((sum, n) => sum + n, 0)
    const ordered = sorted(pauses)
    const insertMs = sorted(load.insertMs)
    const pauseP99Ms = nearestRank(ordered, 0.99)
    const reverseMaxMs = Math.max(0, ...world.reverseMs)
    const figure = audit.lost + audit.duplicated + violations
    print(`${count} moves (seed ${seed}): ${JSON.stringify(moves)}, kills ${JSON.stringify(world.kills)}`)
    print(
      `${rows} rows, lost ${audit.lost}, doubled ${audit.duplicated}, read too early ${violations} of ${reads}`,
    )
    print(
      `writes waited for a move: p99 ${pauseP99Ms.toFixed(0)} ms; back again within ${reverseMaxMs.toFixed(0)} ms`,
    )
    return {
      case: 'moves',
      figure,
      unit: 'rows lost, doubled or read too early',
      peer: null,
      ratio: null,
      runs: [figure],
      seed,
      moves,
      kills: world.kills,
      killsByPhase: world.killsByPhase,
      ...audit,
      violations,
      rows,
      inserts,
      repeats,
      reads,
      pauseP99Ms,
      pauseMaxMs: Math.max(0, ...pauses),
      reverseMaxMs,
      insertP50Ms: nearestRank(insertMs, 0.5),
      insertP99Ms: nearestRank(insertMs, 0.99),
      seconds: (performance.now() - beganMs) / 1000,
      targets: [
        atMost('rows lost', audit.lost, 0),
        atMost('rows doubled', audit.duplicated, 0),
        atMost('reads that missed an own write', violations, 0),
        atMost('moves that failed or hung', (moves['failed'] ?? 0) + (moves['late'] ?? 0), 0),
        atMost('write pause p99 ms', pauseP99Ms, 200),
        atMost('way back ms', reverseMaxMs, 1000),
      ],
    }
  } finally {
    for (const end of ends.reverse()) await end()
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      moves: { type: 'string' },
      seed: { type: 'string', default: '1' },
      short: { type: 'boolean', default: false },
    },
  })
  const count = Number(values.moves ?? (values.short ? 18 : 200))
  const result = await benchMoves(count, Number(values.seed), (line) => console.log(line))
  console.log(JSON.stringify(result))
  process.exitCode = result.figure === 0 ? 0 : 1
}
