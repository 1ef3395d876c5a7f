import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { atMost, nearestRank, sorted, type Target } from '#core/evaluation'
import type { Broker } from '#core/ports'
import { benchBroker, prepareInput, withKafka } from './windows-broker.ts'
import type { InputSpec } from './windows-input.ts'
import { type OursResult, spawnOurs } from './windows-ours.ts'

const KEYS = [1000, 10_000, 100_000, 1_000_000]
const WORKERS = [1, 2, 4]
/** Keys of the runs with several workers. */
const WORKERS_KEYS = 10_000
const PARTITIONS = 8
const COMMIT_MS = 1000
/** Records of one window: with a million keys, ten for each row that is written. */
const RECORDS_PER_WINDOW = 10_000_000
const EVENTS_PER_SECOND = 20_000
const WARMUP_SHARE = 0.25
/** Runs should be at least so long after warm-up. */
const LEAST_SECONDS = 10
const MOST_OVER_KEYS = 1.5
const MOST_OVER_WORKERS = 1.2

/** One number of keys or workers; medians over the runs, after warm-up. */
export interface ScalePoint {
  readonly keys: number
  readonly workers: number
  /** Processor time of all worker processes per record, us. */
  readonly cpuUsPerRecord: number
  readonly runs: readonly number[]
  /** Wall clock of the part that was measured. */
  readonly seconds: number
  readonly recordsPerSecond: number
  /** Windows of a key that were written: rows. */
  readonly windows: number
  /** Records of the whole run for each row: the same windows of time with more keys write more rows. */
  readonly recordsPerRow: number
  /** Most that open windows held, per key. */
  readonly stateBytesPerKey: number
  /** Most memory of all processes. */
  readonly rssBytes: number
}

/** What `npm run bench -- scale` prints last. */
export interface ScaleBench {
  readonly case: 'scale'
  /** CPU per record at the most keys over that at the fewest. */
  readonly figure: number
  readonly unit: 'times'
  readonly peer: null
  readonly ratio: null
  readonly runs: readonly number[]
  readonly byKeys: readonly ScalePoint[]
  readonly byWorkers: readonly ScalePoint[]
  readonly targets: readonly Target[]
}

/** What to run. */
export interface ScaleOptions {
  readonly brokers: string
  readonly records: number
  readonly runs: number
  readonly keys: readonly number[]
  readonly workers: readonly number[]
  readonly print: (line: string) => void
}

const median = (values: readonly number[]): number => nearestRank(sorted(values), 0.5)
const total = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

interface Bench extends ScaleOptions {
  readonly broker: Broker
  readonly recordsPerWindow: number
}

/** Loads an input with so many keys for the time of `work`. */
async function withInput<T>(bench: Bench, keys: number, work: (input: InputSpec) => Promise<T>): Promise<T> {
  const input: InputSpec = {
    topic: `bench-${randomBytes(5).toString('hex')}.flows`,
    partitions: PARTITIONS,
    records: bench.records,
    keys,
    eventsPerSecond: EVENTS_PER_SECOND,
    jitterMs: 2000,
    seed: keys,
  }
  const seconds = await prepareInput(bench.broker, input)
  bench.print(`loaded ${input.records} records of ${keys} keys in ${seconds.toFixed(1)} s`)
  try {
    return await work(input)
  } finally {
    await bench.broker.admin().deleteTopics([input.topic])
  }
}

/** One run: all worker processes of a group over the input. */
async function runOnce(bench: Bench, input: InputSpec, workers: number): Promise<OursResult[]> {
  const name = `bench-${randomBytes(5).toString('hex')}`
  const admin = bench.broker.admin()
  await admin.ensureTopics([{ name, partitions: PARTITIONS }])
  try {
    return await Promise.all(
      Array.from({ length: workers }, (_, slot) =>
        spawnOurs({
          broker: bench.brokers,
          input: input.topic,
          output: name,
          partitions: PARTITIONS,
          commitMs: COMMIT_MS,
          name: `${name}.topology`,
          // Every process has compilers of its own, and a part of the records.
          warmupShare: WARMUP_SHARE / workers,
          windowMs: (bench.recordsPerWindow / EVENTS_PER_SECOND) * 1000,
          slot: String(slot),
        }),
      ),
    )
  } finally {
    await admin.deleteTopics([name])
    await admin.close()
  }
}

async function measure(bench: Bench, input: InputSpec, workers: number): Promise<ScalePoint> {
  const results: OursResult[][] = []
  for (let run = 0; run < bench.runs; run++) results.push(await runOnce(bench, input, workers))
  const runs = results.map(
    (parts) => (total(parts.map((p) => p.warm.cpuSeconds)) / total(parts.map((p) => p.warm.records))) * 1e6,
  )
  const most = (of: (result: OursResult) => number) =>
    Math.max(...results.map((parts) => total(parts.map(of))))
  const seconds = median(results.map((parts) => Math.max(...parts.map((p) => p.warm.seconds))))
  const records = median(results.map((parts) => total(parts.map((p) => p.warm.records))))
  const point: ScalePoint = {
    keys: input.keys,
    workers,
    cpuUsPerRecord: median(runs),
    runs,
    seconds,
    recordsPerSecond: records / seconds,
    windows: most((p) => p.windows),
    recordsPerRow:
      input.records /
      Math.max(
        1,
        most((p) => p.windows),
      ),
    stateBytesPerKey: most((p) => p.stateBytes) / input.keys,
    rssBytes: most((p) => p.rssBytes),
  }
  bench.print(
    `${input.keys} keys, ${workers} worker${workers > 1 ? 's' : ''}: ${point.cpuUsPerRecord.toFixed(3)} us of CPU per record ` +
      `(${runs.map((us) => us.toFixed(2)).join(', ')}), ${Math.round(point.recordsPerSecond)} records/s over ${seconds.toFixed(1)} s, ` +
      `${point.windows} rows written (one per ${point.recordsPerRow.toFixed(0)} records), ${point.stateBytesPerKey.toFixed(0)} B of state per key, ${Math.round(point.rssBytes / 2 ** 20)} MiB`,
  )
  return point
}

const times = (points: readonly ScalePoint[]): number =>
  Math.max(...points.map((p) => p.cpuUsPerRecord)) / (points[0]?.cpuUsPerRecord ?? Number.NaN)

/**
 * Runs the case: by number of keys with one worker, then by number of workers. Held constant are the records, their rate
 * in event time, the length of the windows (10 million records), partitions, commits and batches. Not constant are the
 * rows that come out: as many per window as there are keys. The target is of CPU per record read, rows included.
 */
export async function benchScale(options: ScaleOptions): Promise<ScaleBench> {
  const broker = benchBroker(options.brokers)
  const bench: Bench = {
    ...options,
    broker,
    recordsPerWindow: Math.min(RECORDS_PER_WINDOW, Math.ceil(options.records * 0.8)),
  }
  try {
    const byKeys: ScalePoint[] = []
    const byWorkers: ScalePoint[] = []
    for (const keys of options.keys) {
      await withInput(bench, keys, async (input) => {
        byKeys.push(await measure(bench, input, 1))
        if (keys !== WORKERS_KEYS) return
        for (const workers of options.workers)
          byWorkers.push(workers === 1 ? (byKeys.at(-1) as ScalePoint) : await measure(bench, input, workers))
      })
    }
    return {
      case: 'scale',
      figure: times(byKeys),
      unit: 'times',
      peer: null,
      ratio: null,
      runs: byKeys.map((p) => p.cpuUsPerRecord),
      byKeys,
      byWorkers,
      targets: [
        atMost(
          `CPU per record, ${options.keys.at(-1)} keys over ${options.keys[0]}, times`,
          times(byKeys),
          MOST_OVER_KEYS,
        ),
        atMost(
          `CPU per record, ${options.workers.at(-1)} workers over 1, times`,
          times(byWorkers),
          MOST_OVER_WORKERS,
        ),
      ],
    }
  } finally {
    await broker.close()
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      short: { type: 'boolean', default: false },
      records: { type: 'string' },
      runs: { type: 'string' },
      brokers: { type: 'string' },
    },
  })
  const { short } = values
  const result = await withKafka(values.brokers, (brokers) =>
    benchScale({
      brokers,
      records: Number(values.records ?? (short ? 2_000_000 : 14_000_000)),
      runs: Number(values.runs ?? (short ? 1 : 3)),
      keys: short ? [1000, 10_000, 100_000] : KEYS,
      workers: short ? [1, 2] : WORKERS,
      print: (line) => console.log(line),
    }),
  )
  if ([...result.byKeys, ...result.byWorkers].some(({ seconds }) => seconds < LEAST_SECONDS))
    console.log(
      `some runs took less than ${LEAST_SECONDS} s: compilers and starts are a large part of their figures`,
    )
  for (const { name, value, target, met } of result.targets)
    console.log(`${met ? 'met   ' : 'missed'}  ${name}: ${Number(value.toPrecision(4))} (target ${target})`)
  console.log(JSON.stringify(result))
}
