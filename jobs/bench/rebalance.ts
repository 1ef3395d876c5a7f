import { parseArgs } from 'node:util'
import { createCodec } from '#core/codec'
import { atMost, nearestRank, sorted, type Target } from '#core/evaluation'
import type { OffsetLedger } from '#schemas'
import { launchLive, type LiveProcess, type LiveStack, makeLiveTopics, openLiveStack } from './live-stack.ts'
import { knownRegistry, type LiveTopologyOptions } from './live-topology.ts'

/** What `npm run bench -- rebalance` prints last. */
export interface RebalanceBench {
  readonly case: 'rebalance'
  /** Longest time between two commits of a task that stayed where it was, from two workers to three to two; median of the runs. */
  readonly figure: number
  readonly unit: 'ms'
  readonly peer: null
  readonly ratio: null
  readonly runs: readonly RebalanceRun[]
  readonly targets: readonly Target[]
}

interface RebalanceRun {
  readonly stayingPauseMs: number
  /** Longest time between two commits while nobody came or went. */
  readonly calmPauseMs: number
  readonly movingPauseMs: number
  /** Longest time in which a worker that stayed could begin no commit because of a rebalance, by its own clock. */
  readonly heldMs: number
  readonly tasksThatStayed: number
  /** Records that tasks which stayed had to read again. */
  readonly replayedByStaying: number
  /** Tasks that moved while a worker was stopped and started again under its own slot. */
  readonly movedByRestart: number
}

const RECORDS_PER_SECOND = 4000
const KEYS = 1000
const PARTITIONS = 12
const COMMIT_MS = 100
const PHASE_MS = 5000
const TARGET_MS = 500

/** When each partition's offsets were committed, as a `read_committed` reader of the ledger sees it. */
async function watchLedger(stack: LiveStack): Promise<{ at: Map<number, number[]>; close(): Promise<void> }> {
  const codec = createCodec(await knownRegistry())
  await codec.prepare([{ topic: 'audit.offsets', record: 'OffsetLedger' }])
  const at = new Map<number, number[]>()
  const reader = stack.broker.readPartitions({
    partitions: [{ topic: 'audit.offsets', partition: 0, from: 'latest' }],
    onBatch(cursor) {
      const nowMs = performance.now()
      while (cursor.next()) {
        const { buffer, valueStart, valueLength } = cursor
        const entry = codec.decode(buffer, valueStart, valueStart + valueLength) as OffsetLedger
        const times = at.get(entry.partition)
        if (times === undefined) at.set(entry.partition, [nowMs])
        else times.push(nowMs)
      }
    },
  })
  return { at, close: () => reader.close() }
}

/** Longest time between two neighbours of which one lies in [fromMs, toMs]. */
function longestGap(times: readonly number[], fromMs: number, toMs: number): number {
  let longest = 0
  for (let i = 1; i < times.length; i++) {
    const [a, b] = [times[i - 1] ?? 0, times[i] ?? 0]
    if (b >= fromMs && a <= toMs) longest = Math.max(longest, b - a)
  }
  return longest
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function run(stack: LiveStack, n: number): Promise<RebalanceRun> {
  const id = `rebalance.${n}`
  const topology: LiveTopologyOptions = {
    name: id,
    input: `${id}.in`,
    output: `${id}.out`,
    partials: '',
    windowMs: 2000,
    graceMs: 500,
    partitions: PARTITIONS,
  }
  await makeLiveTopics(stack.broker, topology)
  const shared = { broker: stack.address, topology, recordsPerSecond: RECORDS_PER_SECOND, keys: KEYS }
  const launch = (slot: string) => launchLive({ ...shared, role: 'worker', slot, commitMs: COMMIT_MS })
  const ledger = await watchLedger(stack)
  const [a, b] = [await launch('a'), await launch('b')]
  const producer = await launchLive({ ...shared, role: 'producer', slot: '', commitMs: 0 })
  const holders = (...workers: LiveProcess[]) =>
    new Map(workers.flatMap((w) => w.tasks().map((task) => [Number(task.split('/').at(-1)), w] as const)))
  const gaps = (partitions: readonly number[], fromMs: number, toMs: number) =>
    Math.max(0, ...partitions.map((p) => longestGap(ledger.at.get(p) ?? [], fromMs, toMs)))

  await wait(PHASE_MS)
  const two = holders(a, b)
  const calmFromMs = performance.now() - PHASE_MS / 2
  const joinMs = performance.now()
  const c = await launch('c')
  await wait(PHASE_MS)
  const three = holders(a, b, c)
  const restartMs = performance.now()
  await c.stop()
  const again = await launch('c')
  await wait(PHASE_MS)
  const restarted = holders(a, b, again)
  const endMs = performance.now()
  await producer.stop()
  const stayed = [...three].filter(([p, worker]) => two.get(p) === worker).map(([p]) => p)
  const moved = [...three.keys()].filter((p) => !stayed.includes(p))
  const [last, other] = [await a.stop(), await b.stop()]
  await again.stop()
  await ledger.close()
  return {
    stayingPauseMs: Math.round(gaps(stayed, joinMs, endMs)),
    calmPauseMs: Math.round(gaps([...two.keys()], calmFromMs, joinMs - 200)),
    movingPauseMs: Math.round(gaps(moved, joinMs, restartMs - 200)),
    heldMs: Math.round(Math.max(...[last, other].map((w) => w.counters?.longestRebalanceMs ?? 0))),
    tasksThatStayed: stayed.length,
    replayedByStaying: (last.counters?.replayed ?? 0) + (other.counters?.replayed ?? 0),
    movedByRestart: [...stayed].filter((p) => restarted.get(p) !== three.get(p)).length,
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { short: { type: 'boolean' }, runs: { type: 'string' } } })
  const runs = Number(values.runs ?? (values.short === true ? 1 : 5))
  process.stdout.write(
    `Two workers, a third joins, restarts under its slot: ${PARTITIONS} tasks, ${RECORDS_PER_SECOND} records/s, commits every ${COMMIT_MS} ms; ` +
      'pauses are times between commits as a read_committed reader sees them\n',
  )
  const stack = await openLiveStack()
  const results: RebalanceRun[] = []
  try {
    for (let n = 0; n < runs; n++) {
      const result = await run(stack, n)
      results.push(result)
      process.stdout.write(
        `  run ${n + 1}: ${result.tasksThatStayed} tasks stayed and paused ${result.stayingPauseMs} ms at most (calm: ${result.calmPauseMs} ms, held by the rebalance: ${result.heldMs} ms); ` +
          `those that moved ${result.movingPauseMs} ms; read again by who stayed: ${result.replayedByStaying}; moved by the restart: ${result.movedByRestart}\n`,
      )
    }
  } finally {
    await stack.stop()
  }
  const figure = nearestRank(sorted(results.map((r) => r.stayingPauseMs)), 0.5)
  const replayed = Math.max(...results.map((r) => r.replayedByStaying))
  const moved = Math.max(...results.map((r) => r.movedByRestart))
  const bench: RebalanceBench = {
    case: 'rebalance',
    figure,
    unit: 'ms',
    peer: null,
    ratio: null,
    runs: results,
    targets: [
      atMost('pause of tasks that stay, ms', figure, TARGET_MS),
      atMost('records read again by who stays', replayed, 0),
      atMost('tasks moved by a restart under its slot', moved, 0),
    ],
  }
  process.stdout.write(`${JSON.stringify(bench)}\n`)
}

if (import.meta.main) await main()
