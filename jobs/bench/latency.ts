import { parseArgs } from 'node:util'
import { createCodec, type RecordCodec } from '#core/codec'
import { atMost, nearestRank, sorted, type Target } from '#core/evaluation'
import type { StreamFeature } from '#schemas'
import { knownRegistry, type LiveTopologyOptions } from './live-topology.ts'
import { launchLive, type LiveStack, makeLiveTopics, openLiveStack } from './live-stack.ts'

/** What `npm run bench -- latency` prints last. */
export interface LatencyBench {
  readonly case: 'latency'
  /** p99 from the end of a window (and its grace) to its row at a `read_committed` reader; median of the runs. */
  readonly figure: number
  readonly unit: 'ms'
  readonly peer: null
  readonly ratio: null
  readonly runs: readonly LatencyRun[]
  readonly targets: readonly Target[]
}

interface LatencyRun {
  readonly lane: Lane['name']
  readonly rows: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
  readonly records: number
  readonly workerCpuUsPerRecord: number
}

interface Lane {
  /** `keyed`: one hop, keys follow partitions; `merged`: two hops, partial aggregates of all partitions meet. */
  readonly name: 'keyed' | 'merged'
  readonly merged: boolean
}

const LANES: readonly Lane[] = [
  { name: 'keyed', merged: false },
  { name: 'merged', merged: true },
]
const RECORDS_PER_SECOND = 20_000
const KEYS = 1000
const PARTITIONS = 6
const WINDOW_MS = 1000
const GRACE_MS = 0
const COMMIT_MS = 100
const TARGET_P99_MS = 300
/** Windows of the first seconds are not counted: code is compiled, partitions are found. */
const WARM_UP_MS = 5000

async function run(
  stack: LiveStack,
  codec: RecordCodec,
  lane: Lane,
  n: number,
  seconds: number,
): Promise<LatencyRun> {
  const id = `latency.${lane.name}.${n}`
  const topology: LiveTopologyOptions = {
    name: id,
    input: `${id}.in`,
    output: `${id}.out`,
    partials: lane.merged ? `${id}.partials` : '',
    windowMs: WINDOW_MS,
    graceMs: GRACE_MS,
    partitions: PARTITIONS,
  }
  await makeLiveTopics(stack.broker, topology)
  const shared = { broker: stack.address, topology, recordsPerSecond: RECORDS_PER_SECOND, keys: KEYS }
  const worker = await launchLive({ ...shared, role: 'worker', slot: '0', commitMs: COMMIT_MS })
  const countFromMs = Date.now() + WARM_UP_MS
  const latencies: number[] = []
  const reader = stack.broker.readPartitions({
    partitions: Array.from({ length: PARTITIONS }, (_, partition) => ({
      topic: topology.output,
      partition,
      from: 'earliest' as const,
    })),
    onBatch(cursor) {
      const nowMs = Date.now()
      while (cursor.next()) {
        const { buffer, valueStart, valueLength } = cursor
        if (valueLength < 0) continue
        const row = codec.decode(buffer, valueStart, valueStart + valueLength) as StreamFeature
        if (row.window_start_ms >= countFromMs) latencies.push(nowMs - row.window_end_ms - GRACE_MS)
      }
    },
  })
  const producer = await launchLive({ ...shared, role: 'producer', slot: '', commitMs: 0 })
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS + seconds * 1000))
  const { sent = 0 } = await producer.stop()
  await new Promise((resolve) => setTimeout(resolve, 2 * WINDOW_MS))
  const { counters, cpuSeconds = 0 } = await worker.stop()
  await reader.close()
  const ordered = sorted(latencies)
  const result = {
    lane: lane.name,
    rows: latencies.length,
    p50Ms: nearestRank(ordered, 0.5),
    p99Ms: nearestRank(ordered, 0.99),
    maxMs: ordered.at(-1) ?? Number.NaN,
    records: sent,
    workerCpuUsPerRecord: (cpuSeconds * 1e6) / Math.max(1, counters?.recordsIn ?? 1),
  }
  process.stdout.write(
    `  ${lane.name.padEnd(7)} run ${n + 1}: ${result.rows} rows, p50 ${result.p50Ms} ms, p99 ${result.p99Ms} ms, max ${result.maxMs} ms\n`,
  )
  return result
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { short: { type: 'boolean' }, runs: { type: 'string' } } })
  const short = values.short === true
  const runs = Number(values.runs ?? (short ? 1 : 5))
  const seconds = short ? 8 : 15
  process.stdout.write(
    `Telemetry to feature row: ${RECORDS_PER_SECOND} records/s, ${KEYS} keys, ${PARTITIONS} partitions, windows of ${WINDOW_MS} ms, ` +
      `grace ${GRACE_MS} ms, commits every ${COMMIT_MS} ms, one broker; broker, producer, worker and reader are four processes\n`,
  )
  const stack = await openLiveStack()
  const results: LatencyRun[] = []
  try {
    const codec = createCodec(await knownRegistry())
    await codec.prepare([{ topic: 'any', record: 'StreamFeature' }])
    for (let n = 0; n < runs; n++)
      for (const lane of LANES) results.push(await run(stack, codec, lane, n, seconds))
  } finally {
    await stack.stop()
  }
  const p99Of = (lane: Lane) =>
    nearestRank(sorted(results.filter((r) => r.lane === lane.name).map((r) => r.p99Ms)), 0.5)
  const figures = LANES.map((lane) => p99Of(lane))
  const bench: LatencyBench = {
    case: 'latency',
    figure: Math.max(...figures),
    unit: 'ms',
    peer: null,
    ratio: null,
    runs: results,
    targets: LANES.map((lane, i) => atMost(`p99 ${lane.name}, ms`, figures[i] ?? Number.NaN, TARGET_P99_MS)),
  }
  process.stdout.write(`${JSON.stringify(bench)}\n`)
}

if (import.meta.main) await main()
