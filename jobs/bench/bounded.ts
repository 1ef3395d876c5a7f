import { fork } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { atMost, type Target } from '#core/evaluation'
import { type Broker, ForestallError } from '#core/ports'
import { deadLetterTopic } from '#schemas'
import { type BoundedInput, loadBounded, readBounded, type WindowSums } from './bounded-input.ts'
import { type StalledSinkRun, stallSink } from './bounded-sink.ts'
import type { BoundedWorkerOptions, BoundedWorkerResult } from './bounded-worker.ts'
import { benchBroker, withKafka } from './windows-broker.ts'

/** A worker under a bound, and the same without one. */
export interface BoundedStateRun {
  readonly bound: number
  readonly bounded: BoundedWorkerResult
  /** Null if it was not run. */
  readonly unbounded: BoundedWorkerResult | null
  /** Windows whose rows, records or sum of sizes are not those of the input. */
  readonly wrongWindows: number
  readonly rows: number
}

/** What `npm run bench -- bounded` prints last. */
export interface BoundedBench {
  readonly case: 'bounded'
  /** Most state over its bound. */
  readonly figure: number
  readonly unit: 'of the bound'
  readonly peer: null
  readonly ratio: null
  readonly runs: readonly number[]
  readonly state: BoundedStateRun
  readonly sink: StalledSinkRun | null
  readonly targets: readonly Target[]
}

/** What to run for the bound of the state. */
export interface BoundedStateOptions extends Omit<BoundedInput, 'topic'> {
  readonly brokers: string
  readonly maxStateBytes: number
  /** Run without a bound, too. */
  readonly compare: boolean
  readonly print: (line: string) => void
}

/** Memory is summed up every so many records: the bound may be passed by what they make. */
const SLACK = 1.05
const PROGRAM = fileURLToPath(new URL('./bounded-worker.ts', import.meta.url))
const mib = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`

async function runWorker(options: BoundedWorkerOptions): Promise<BoundedWorkerResult> {
  const child = fork(PROGRAM, [JSON.stringify(options)])
  let result: BoundedWorkerResult | undefined
  child.on('message', (message: BoundedWorkerResult) => (result = message))
  const [code] = (await once(child, 'exit')) as [number | null]
  if (result === undefined) throw new ForestallError('STACK_FAILED', `the worker ended with ${code}`)
  return result
}

/**
 * Many keys and a hot one, whose partition falls behind: windows wait for it, and what the others have read waits in
 * memory. Under the bound they pause.
 */
export async function boundState(options: BoundedStateOptions): Promise<BoundedStateRun> {
  const { brokers, partitions, maxStateBytes, windowMs, print } = options
  const broker = benchBroker(brokers)
  const id = `bench-${randomBytes(5).toString('hex')}`
  const input: BoundedInput = { ...options, topic: `${id}.flows` }
  const admin = broker.admin()
  const shared = [deadLetterTopic(input.topic).name, 'audit.offsets']
  await admin.ensureTopics([
    { name: input.topic, partitions },
    ...shared.map((name) => ({ name, partitions: 1 })),
  ])
  try {
    const truth = await loadBounded(broker, input)
    print(`loaded ${sumOf(truth.records)} records of ${input.keys} keys and a hot one`)
    const once = (bound: number) => runOnce(broker, input, { brokers, id, bound, windowMs, print })
    const { result: bounded, sums } = await once(maxStateBytes)
    const wrongWindows = wrongIn(sums, truth)
    const unbounded = options.compare ? (await once(2 ** 40)).result : null
    return { bound: maxStateBytes, bounded, unbounded, wrongWindows, rows: sumOf(sums.rows) }
  } finally {
    await admin.deleteTopics([input.topic, deadLetterTopic(input.topic).name])
    await broker.close()
  }
}

interface Run {
  readonly brokers: string
  readonly id: string
  readonly bound: number
  readonly windowMs: number
  readonly print: (line: string) => void
}

async function runOnce(
  broker: Broker,
  input: BoundedInput,
  { brokers, id, bound, windowMs, print }: Run,
): Promise<{ result: BoundedWorkerResult; sums: WindowSums }> {
  const name = `${id}-${randomBytes(3).toString('hex')}`
  const [merge, output] = [`${name}.partials`, `${name}.windows`]
  const { partitions } = input
  const admin = broker.admin()
  await admin.ensureTopics([merge, output].map((topic) => ({ name: topic, partitions })))
  try {
    const worker = { broker: brokers, name, input: input.topic, merge, output, partitions, windowMs }
    const result = await runWorker({ ...worker, maxStateBytes: bound })
    const { stateBytes, rssBytes, idleRssBytes, pauses, warnings, seconds } = result
    print(
      `bound ${bound >= 2 ** 40 ? 'none' : mib(bound)}: state at most ${mib(stateBytes)}, process ${mib(rssBytes)} ` +
        `(${mib(idleRssBytes)} before it read anything), ${pauses} pauses, ${seconds.toFixed(1)} s`,
    )
    for (const warning of warnings) print(`  ${warning}`)
    return { result, sums: await readBounded(broker, output, input) }
  } finally {
    await admin.deleteTopics([merge, output])
    await admin.close()
  }
}

const sumOf = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

function wrongIn(found: WindowSums, truth: WindowSums): number {
  const same = (of: keyof WindowSums, w: number) => found[of][w] === truth[of][w]
  return truth.rows.filter((_, w) => !(['rows', 'records', 'bytes'] as const).every((of) => same(of, w)))
    .length
}

/** Sizes of the short version. */
export const BOUND_OF_TESTS = { keys: 160_000, windows: 8, hotPerWindow: 20_000, maxStateBytes: 40 << 20 }
const LONG = { keys: 1_000_000, windows: 10, hotPerWindow: 250_000, maxStateBytes: 192 << 20 }

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      short: { type: 'boolean', default: false },
      brokers: { type: 'string' },
      bound: { type: 'string' },
    },
  })
  const print = (line: string): void => console.log(line)
  const result = await withKafka(values.brokers, async (brokers): Promise<BoundedBench> => {
    const size = values.short ? BOUND_OF_TESTS : LONG
    const maxStateBytes = values.bound === undefined ? size.maxStateBytes : Number(values.bound) * 2 ** 20
    const common = { brokers, partitions: 8, windowMs: 10_000, compare: true, print }
    const state = await boundState({ ...common, ...size, maxStateBytes })
    const sink = await stallSink({ brokers, rows: values.short ? 200_000 : 2_000_000, print })
    const ratio = state.bounded.stateBytes / state.bound
    return {
      case: 'bounded',
      figure: ratio,
      unit: 'of the bound',
      peer: null,
      ratio: null,
      runs: [ratio],
      state,
      sink,
      targets: [
        atMost('most state, times its bound', ratio, SLACK),
        atMost('windows that are wrong', state.wrongWindows, 0),
        atMost('late records', state.bounded.late, 0),
        atMost(
          'rows that wait for a stalled warehouse, times their bound',
          sink.bufferedBytes / sink.bound,
          1,
        ),
        atMost('rows missing or doubled after the stall', Math.abs(sink.rowsFound - sink.rows), 0),
      ],
    }
  })
  for (const { name, value, target, met } of result.targets)
    console.log(`${met ? 'met   ' : 'missed'}  ${name}: ${Number(value.toPrecision(4))} (target ${target})`)
  console.log(JSON.stringify(result))
}
