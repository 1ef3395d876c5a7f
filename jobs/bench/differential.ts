import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createCodec, type RecordCodec } from '#core/codec'
import type { Broker } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { startKafka } from '#infra/local'
import { AVRO, deadLetterTopic } from '#schemas'
import { createMemoryRegistry } from '../../pipelines/core/runtime/testing/memory-registry.ts'
import { differences, readWindows, runPeer } from '../../test/bench/peers/kafka-streams/peer.ts'
import { readTopic } from '../topic-reader.ts'
import {
  LANES,
  type Lane,
  laneOf,
  PARTITIONS_PER_SEED,
  plainWindows,
  samplesOf,
} from './differential-input.ts'
import { inputOf, type OursRun, outputOf, prepareOurs, runOurs } from './differential-ours.ts'
import { plainFlow } from './flow-figures.ts'

const SEEDS = 60
const SHORT_SEEDS = 12
const PENDING_BYTES = 8 << 20

/** What `npm run bench -- differential` prints last. */
export interface DifferentialBench {
  readonly case: 'differential'
  /** Windows that differ, of all seeds; 0 is the target. */
  readonly figure: number
  readonly unit: 'windows that differ'
  readonly peer: 'Kafka Streams 4.3.1, exactly_once_v2'
  readonly ratio: null
  readonly runs: readonly number[]
  readonly seeds: readonly number[]
  readonly records: number
  /** With the first five differences of each; keys begin with the seed. */
  readonly lanes: readonly LaneResult[]
}

/** Where and with what to compare. */
export interface DifferentialOptions {
  readonly bootstrapBrokers: string
  readonly seeds: readonly number[]
  readonly print: (line: string) => void
}

const peerOutputOf = (lane: Lane): string => `peer.${lane.name}`

/** Seeds of one lane, each on partitions of its own. */
const seedsOf = (lane: Lane, seeds: readonly number[]): number[] => seeds.filter((s) => laneOf(s) === lane)

async function makeTopics({ broker, lanes, prefix, partitions }: OursRun): Promise<void> {
  const admin = broker.admin()
  const name = (topic: string) => `${prefix}${topic}`
  const wide = lanes.flatMap((lane) => [inputOf(lane), outputOf(lane), peerOutputOf(lane)])
  const letters = lanes.map((lane) => deadLetterTopic(inputOf(lane)).name)
  await admin.ensureTopics([
    ...wide.map((topic) => ({ name: name(topic), partitions })),
    ...[...letters, 'audit.offsets'].map((topic) => ({ name: name(topic), partitions: 1 })),
  ])
  await admin.close()
}

/** Writes the input of all seeds; returns the number of records. */
async function load({ broker, codec, lanes, prefix }: OursRun, seeds: readonly number[]): Promise<number> {
  const producer = broker.producer()
  let records = 0
  for (const lane of lanes) {
    const topic = inputOf(lane)
    for (const [block, seed] of seedsOf(lane, seeds).entries()) {
      for (const { partition, key, timeMs, value } of samplesOf(seed)) {
        const bytes = codec.encode(topic, 'Flow', plainFlow(key, timeMs, value))
        const target = block * PARTITIONS_PER_SEED + partition
        producer.add(`${prefix}${topic}`, target, timeMs, Buffer.from(key), bytes)
        if (producer.pendingBytes > PENDING_BYTES) await producer.flush()
        records++
      }
    }
  }
  await producer.close()
  return records
}

async function runTheirs(run: OursRun, bootstrapBrokers: string, outputSchemaId: number): Promise<void> {
  const { lanes, prefix } = run
  await runPeer({
    bootstrapBrokers,
    applicationId: `${prefix}peer`,
    threads: 2,
    store: 'memory',
    cacheMb: 0,
    commitMs: 200,
    javaOptions: ['-XX:+UseSerialGC'],
    lanes: lanes.map((lane) => ({
      ...lane,
      input: `${prefix}${inputOf(lane)}`,
      output: `${prefix}${peerOutputOf(lane)}`,
      outputSchemaId,
    })),
  })
}

/** What came of one kind of windows. */
export interface LaneResult {
  readonly lane: string
  readonly seeds: readonly number[]
  readonly windows: number
  readonly late: number
  /** Ours against the peer, against the plain computation, and the dead letters against those computed. */
  readonly differences: readonly string[]
}

async function compareLane(run: OursRun, lane: Lane, seeds: readonly number[]): Promise<LaneResult> {
  const ours = await readWindows(run.broker, run.codec, `${run.prefix}${outputOf(lane)}`)
  const theirs = await readWindows(run.broker, run.codec, `${run.prefix}${peerOutputOf(lane)}`)
  const rows = new Map<string, string>()
  let late = 0
  for (const seed of seeds) {
    const expected = plainWindows(samplesOf(seed), lane)
    late += expected.late
    for (const [id, kept] of expected.rows) rows.set(id, kept)
  }
  const letters = await lateLetters(run, lane)
  return {
    lane: lane.name,
    seeds,
    windows: rows.size,
    late,
    differences: [
      ...differences(ours, theirs),
      ...differences(ours, { rows, repeated: [] }, 'computed'),
      ...(letters === late ? [] : [`${letters} dead letters are late, computed ${late}`]),
    ],
  }
}

/** Dead letters of a lane; all other records are valid. */
async function lateLetters({ broker, codec, prefix }: OursRun, lane: Lane): Promise<number> {
  let letters = 0
  await readTopic(
    broker,
    codec,
    `${prefix}${deadLetterTopic(inputOf(lane)).name}`,
    'DeadLetter',
    (letter) => {
      if (letter.reason_code === 'RECORD_LATE') letters++
    },
  )
  return letters
}

/** Runs the same generated input through both on one broker and compares all final windows. */
export async function benchDifferential(options: DifferentialOptions): Promise<DifferentialBench> {
  const { bootstrapBrokers, seeds, print } = options
  const registry = createMemoryRegistry()
  const codec: RecordCodec = createCodec(registry)
  const prefix = `diff${randomBytes(4).toString('hex')}.`
  const broker: Broker = createBroker({
    bootstrapBrokers: bootstrapBrokers.split(','),
    clientId: 'differential',
  })
  const lanes = LANES.filter((lane) => seedsOf(lane, seeds).length > 0)
  const blocks = Math.max(...lanes.map((lane) => seedsOf(lane, seeds).length))
  const run = { broker, codec, lanes, prefix, partitions: blocks * PARTITIONS_PER_SEED }
  try {
    await prepareOurs(run)
    await makeTopics(run)
    const records = await load(run, seeds)
    print(
      `${seeds.length} seeds, ${records} records, ${lanes.length} kinds of windows, ${run.partitions} partitions each`,
    )
    const began = performance.now()
    await runOurs(run)
    const oursMs = performance.now() - began
    await runTheirs(run, bootstrapBrokers, await registry.register('peer-value', AVRO.StreamFeature))
    const theirsMs = performance.now() - began - oursMs
    print(`ours ${(oursMs / 1000).toFixed(1)} s, Kafka Streams ${(theirsMs / 1000).toFixed(1)} s`)
    const results: LaneResult[] = []
    for (const lane of lanes) results.push(await compareLane(run, lane, seedsOf(lane, seeds)))
    for (const { lane, windows, late, differences } of results) {
      print(
        `${lane}: ${windows} final windows, ${late} records in none of them, ${differences.length} differences`,
      )
      for (const line of differences.slice(0, 5)) print(`  ${line}`)
    }
    const different = results.reduce((sum, r) => sum + r.differences.length, 0)
    return {
      case: 'differential',
      figure: different,
      unit: 'windows that differ',
      peer: 'Kafka Streams 4.3.1, exactly_once_v2',
      ratio: null,
      runs: [different],
      seeds,
      records,
      lanes: results.map((r) => ({ ...r, differences: r.differences.slice(0, 5) })),
    }
  } finally {
    await broker.close()
  }
}

/** A Kafka of its own for the time of `work`. */
async function withKafka<T>(work: (bootstrapBrokers: string) => Promise<T>): Promise<T> {
  const dataDir = mkdtempSync(join(tmpdir(), 'forestall-bench-'))
  const kafka = await startKafka({ dataDir, partsDir: join('.forestall', 'parts') })
  try {
    return await work(kafka.broker)
  } finally {
    await kafka.stop()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
  const { values } = parseArgs({
    options: {
      short: { type: 'boolean', default: false },
      seeds: { type: 'string' },
      seed: { type: 'string' },
      brokers: { type: 'string' },
    },
  })
  const count = Number(values.seeds ?? (values.short ? SHORT_SEEDS : SEEDS))
  const seeds =
    values.seed === undefined ? Array.from({ length: count }, (_, seed) => seed) : [Number(values.seed)]
  const run = (bootstrapBrokers: string) =>
    benchDifferential({ bootstrapBrokers, seeds, print: (line) => console.log(line) })
  const result = await (values.brokers === undefined ? withKafka(run) : run(values.brokers))
  console.log(JSON.stringify(result))
  if (result.figure > 0) process.exitCode = 1
}
