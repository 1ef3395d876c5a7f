import { Buffer } from 'node:buffer'
import { parseArgs } from 'node:util'
import { createCodec, type RecordCodec } from '#core/codec'
import { mulberry32, partitionKey, type RecordCursor, systemClock } from '#core/ports'
import {
  createCounters,
  createRecordReaders,
  createTasks,
  defineTopology,
  END_OF_INPUT_MS,
  type Task,
  type TaskContext,
  type Topology,
} from '#core/runtime'
import { FIGURES, figuresOf, flowSource } from './flow-figures.ts'
import { fixedRegistry, flowOf, keyOf } from './windows-input.ts'

const INPUT = 'telemetry.flows'
const OUTPUT = 'features.streams'
const BASE_MS = 1_700_000_000_000
const BATCH_RECORDS = 5000
const [GAP_MS, GRACE_MS, MAX_LENGTH_MS] = [30_000, 5000, 600_000]

/** How keys are active. */
interface Load {
  readonly name: string
  readonly eventsPerSecond: number
  /** The key of record i. */
  key(i: number, random: number): number
}

const LOADS: readonly Load[] = [
  // 2,000 keys at a time for a minute, 2.5 records a second each: a slice has some 19 records of a key.
  {
    name: 'dense',
    eventsPerSecond: 5000,
    key: (i, random) => Math.floor(i / 300_000) * 2000 + (random % 2000),
  },
  // 100,000 keys, a record in 20 s each: hardly two of a key come in one slice.
  { name: 'sparse', eventsPerSecond: 5000, key: (_, random) => random % 100_000 },
]

/** The same figures in sessions and in tumbling windows as long as the gap. */
const SHAPES = {
  sessions: { kind: 'session', gapMs: GAP_MS, graceMs: GRACE_MS, maxLengthMs: MAX_LENGTH_MS },
  tumbling: { sizeMs: GAP_MS, advanceMs: GAP_MS, graceMs: GRACE_MS },
} as const

function topologyOf(shape: keyof typeof SHAPES): Topology {
  return defineTopology({
    name: `bench.${shape}`,
    sources: { flows: flowSource(INPUT, 600_000) },
    windows: {
      streams: {
        ...SHAPES[shape],
        from: 'flows',
        key: 'stream',
        aggregates: FIGURES,
        to: { topic: OUTPUT, record: 'StreamFeature', row: (w) => figuresOf(w, 0) },
      },
    },
  })
}

/** A batch as if it had been fetched. */
class BatchCursor implements RecordCursor {
  readonly topic = INPUT
  readonly partition = 0
  readonly buffer: Buffer
  readonly recordCount: number
  readonly nextOffset: number
  offset: number
  readonly timestampMs = END_OF_INPUT_MS
  readonly keyStart = 0
  readonly keyLength = -1
  valueStart = 0
  valueLength = 0
  headersStart = 0
  recordEnd = 0
  readonly #ends: Int32Array
  #at = -1

  constructor(buffer: Buffer, ends: Int32Array, first: number) {
    this.buffer = buffer
    this.recordCount = ends.length
    this.nextOffset = first + ends.length
    this.offset = first - 1
    this.#ends = ends
  }

  next(): boolean {
    if (++this.#at >= this.recordCount) return false
    this.offset++
    this.valueStart = this.recordEnd
    this.recordEnd = this.#ends[this.#at] as number
    this.headersStart = this.recordEnd
    this.valueLength = this.recordEnd - this.valueStart
    return true
  }
}

interface Batch {
  readonly buffer: Buffer
  readonly ends: Int32Array
}

/** Records up to a second out of order. */
function batchesOf(codec: RecordCodec, load: Load, records: number): Batch[] {
  const random = mulberry32(7)
  const batches: Batch[] = []
  for (let from = 0; from < records; from += BATCH_RECORDS) {
    const values: Buffer[] = []
    const ends = new Int32Array(BATCH_RECORDS)
    for (let i = from, end = 0; i < from + BATCH_RECORDS; i++) {
      const atMs = BASE_MS + Math.floor((i * 1000) / load.eventsPerSecond) - (random.uint32() % 1000)
      const value = Buffer.from(
        codec.encode(INPUT, 'Flow', flowOf(keyOf(load.key(i, random.uint32())), atMs, random, 4)),
      )
      values.push(value)
      ends[i - from] = end += value.length
    }
    batches.push({ buffer: Buffer.concat(values), ends })
  }
  return batches
}

/** A run of one task from the first record to the end of the input. */
interface Run {
  readonly recordsPerCpuSecond: number
  readonly rows: number
  readonly stateBytes: number
}

async function runTask(
  codec: RecordCodec,
  shape: keyof typeof SHAPES,
  batches: readonly Batch[],
): Promise<Run> {
  const counters = createCounters()
  const context: TaskContext = {
    out: { emit: () => undefined },
    encoder: codec,
    readers: createRecordReaders(codec),
    clock: systemClock,
    counters,
    partitionsOf: () => 1,
    topicName: (topic) => topic,
    merged: () => undefined,
    warn: (error) => {
      throw error
    },
  }
  const input = { topic: INPUT, partition: 0 }
  const [task] = createTasks(topologyOf(shape), [input], context, async () => undefined) as [Task]
  const committed = { ...input, offset: -1, metadata: '' }
  await task.restore(new Map([[partitionKey(INPUT, 0), { committed, earliest: 0 }]]))
  const before = process.cpuUsage()
  let stateBytes = 0
  let offset = 0
  for (const { buffer, ends } of batches) {
    await task.process(new BatchCursor(buffer, ends, offset))
    offset += ends.length
    stateBytes = Math.max(stateBytes, task.bytes)
    task.prepareCommit(0)
  }
  const { user, system } = process.cpuUsage(before)
  return { recordsPerCpuSecond: offset / ((user + system) / 1e6), rows: counters.windows, stateBytes }
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** Sessions and tumbling windows over the same records, alternating; the first run of each is for the compiler. */
async function benchSessions(records: number, runs: number, print: (line: string) => void) {
  const codec = createCodec(fixedRegistry())
  await codec.prepare([
    { topic: INPUT, record: 'Flow' },
    { topic: OUTPUT, record: 'StreamFeature' },
    { topic: 'audit.offsets', record: 'OffsetLedger' },
  ])
  const loads = []
  for (const load of LOADS) {
    const batches = batchesOf(codec, load, records)
    const done: Record<keyof typeof SHAPES, Run[]> = { sessions: [], tumbling: [] }
    for (let run = 0; run <= runs; run++)
      for (const shape of ['sessions', 'tumbling'] as const) {
        const result = await runTask(codec, shape, batches)
        if (run > 0) done[shape].push(result)
      }
    const [sessions, tumbling] = [done.sessions, done.tumbling].map((all) =>
      median(all.map((run) => run.recordsPerCpuSecond)),
    ) as [number, number]
    loads.push({ name: load.name, sessions, tumbling, runs: done })
    for (const shape of ['sessions', 'tumbling'] as const) {
      const [last] = done[shape].slice(-1) as [Run]
      const rate = shape === 'sessions' ? sessions : tumbling
      print(
        `${load.name} ${shape}: ${(rate / 1e6).toFixed(2)} M records per CPU second, ${last.rows} rows, ${(last.stateBytes / 2 ** 20).toFixed(1)} MiB at most`,
      )
    }
  }
  return { case: 'sessions', figure: loads[0]?.sessions, unit: 'records per CPU second', peer: null, loads }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { records: { type: 'string' }, runs: { type: 'string' } } })
  const records = Math.ceil(Number(values.records ?? 1_200_000) / BATCH_RECORDS) * BATCH_RECORDS
  const result = await benchSessions(records, Number(values.runs ?? 3), (line) => console.log(line))
  console.log(JSON.stringify(result))
}
