import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { createCodec, type RecordCodec } from '#core/codec'
import { atMost, nearestRank, sorted, type Target } from '#core/evaluation'
import { type Broker, partitionKey } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { startKafka } from '#infra/local'
import { AVRO, deadLetterTopic } from '#schemas'
import { createMemoryRegistry } from '../../pipelines/core/runtime/testing/memory-registry.ts'
import { buildPeer, differences, readWindows } from '../../test/bench/peers/kafka-streams/peer.ts'
import { inputOf, outputOf, prepareOurs } from './differential-ours.ts'
import { closeWindow, LANE, loadWindow, PARTITIONS } from './recovery-input.ts'
import { cpuSecondsOf, type Life, ourSide, PEER_OUTPUT, peerSide, type Side } from './recovery-sides.ts'

const ROUNDS = 5
const SHORT_ROUNDS = 2
const KEYS = 100_000
const TARGET_S = 2

/** What one restart took, s. */
interface Restart {
  /** From when it began to read until its first new output could be read by a `read_committed` reader. */
  readonly fromReading: number
  /** The same from the start of the process. */
  readonly fromSpawn: number
  /** CPU time of the whole process until then; null where it cannot be told. */
  readonly cpuSeconds: number | null
}

/** What `npm run bench -- recovery` prints last. */
export interface RecoveryBench {
  readonly case: 'recovery'
  /** Median of `fromReading`. */
  readonly figure: number
  readonly unit: 's from reading to first new output'
  readonly peer: { readonly name: string; readonly figure: number; readonly fromSpawn: number }
  /** Peer by ours: above 1 ours is faster. */
  readonly ratio: number
  readonly runs: readonly { readonly ours: Restart; readonly peer: Restart }[]
  readonly fromSpawn: number
  readonly keys: number
  readonly records: number
  readonly targets: readonly Target[]
}

/** What to run. */
export interface RecoveryOptions {
  readonly bootstrapBrokers: string
  readonly rounds: number
  readonly keys: number
  /** Records of each key in the open windows. */
  readonly perKey: number
  readonly store: 'rocksdb' | 'memory'
  readonly print: (line: string) => void
}

interface Bench extends RecoveryOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
}

const partitionsOf = (topic: string) =>
  Array.from({ length: PARTITIONS }, (_, partition) => ({ topic, partition }))

const POLL_MS = 50

/** Waits until the side has committed all of the input. */
async function caughtUp({ broker }: Bench, side: Side, prefix: string, life: Life): Promise<void> {
  const admin = broker.admin()
  const inputs = partitionsOf(`${prefix}${inputOf(LANE)}`)
  const ends = await admin.offsets(inputs, 'latest')
  await life.readingAtMs
  for (let done = false; !done; await delay(POLL_MS)) {
    const committed = await admin.committed(side.group(prefix), inputs)
    done = committed.every((c) => c.offset >= (ends.get(partitionKey(c.topic, c.partition)) ?? 0))
  }
  await admin.close()
}

/** Starts the side again; returns once all windows are out. */
async function restart(bench: Bench, side: Side, prefix: string): Promise<Restart> {
  const { broker, keys } = bench
  const first = Promise.withResolvers<number>()
  const all = Promise.withResolvers<void>()
  let rows = 0
  const reader = broker.readPartitions({
    partitions: partitionsOf(side.output(prefix)).map((p) => ({ ...p, from: 'earliest' })),
    onBatch(cursor) {
      const before = rows
      while (cursor.next()) if (cursor.valueLength >= 0) rows++
      if (rows > before) first.resolve(Date.now())
      if (rows >= keys) all.resolve()
    },
    onError: first.reject,
  })
  const life = side.start(prefix)
  const firstAtMs = await first.promise
  const cpuSeconds = cpuSecondsOf(life.pid)
  const readingAtMs = await life.readingAtMs
  await all.promise
  await life.kill9()
  await reader.close()
  return {
    fromReading: (firstAtMs - readingAtMs) / 1000,
    fromSpawn: (firstAtMs - life.spawnedAtMs) / 1000,
    cpuSeconds,
  }
}

/** Both sides on one input: each is brought to where all windows are open and killed, then restarted one after the other. */
async function round(bench: Bench, sides: readonly Side[]): Promise<Record<Side['name'], Restart>> {
  const { broker, codec } = bench
  const prefix = `rec${randomBytes(4).toString('hex')}.`
  const admin = broker.admin()
  await admin.ensureTopics([
    ...[inputOf(LANE), outputOf(LANE), PEER_OUTPUT].map((t) => ({
      name: `${prefix}${t}`,
      partitions: PARTITIONS,
    })),
    ...[deadLetterTopic(inputOf(LANE)).name, 'audit.offsets'].map((t) => ({
      name: `${prefix}${t}`,
      partitions: 1,
    })),
  ])
  await admin.close()
  await loadWindow(broker, codec, prefix, bench.keys, bench.perKey)
  for (const side of sides) {
    const life = side.start(prefix)
    await caughtUp(bench, side, prefix, life)
    await life.kill9()
  }
  await closeWindow(broker, codec, prefix)
  const results: Partial<Record<Side['name'], Restart>> = {}
  for (const side of sides) {
    const result = await restart(bench, side, prefix)
    bench.print(
      `  ${side.name}: ${result.fromReading.toFixed(2)} s, from its start ${result.fromSpawn.toFixed(2)} s, CPU ${result.cpuSeconds?.toFixed(2) ?? '?'} s`,
    )
    results[side.name] = result
  }
  await compare(bench, sides, prefix)
  return results as Record<Side['name'], Restart>
}

/** A recovery that is fast and wrong is none: both must have written the same windows, once. */
async function compare(
  { broker, codec, keys }: Bench,
  [a, b]: readonly Side[],
  prefix: string,
): Promise<void> {
  if (a === undefined || b === undefined) return
  const [one, other] = [
    await readWindows(broker, codec, a.output(prefix)),
    await readWindows(broker, codec, b.output(prefix)),
  ]
  const told = differences(one, other, b.name)
  if (one.rows.size === keys && told.length === 0) return
  throw new Error(`${one.rows.size} windows of ${keys}; differences: ${told.slice(0, 5).join('; ')}`)
}

const median = (values: readonly number[]): number => nearestRank(sorted(values), 0.5)

/** Kills and restarts both, alternating which goes first. */
export async function benchRecovery(options: RecoveryOptions): Promise<RecoveryBench> {
  const { bootstrapBrokers, rounds, keys, perKey, store, print } = options
  const registry = createMemoryRegistry()
  const codec = createCodec(registry)
  const broker = createBroker({ bootstrapBrokers: bootstrapBrokers.split(','), clientId: 'recovery-bench' })
  const bench: Bench = { ...options, broker, codec }
  try {
    await prepareOurs({ broker, codec, lanes: [LANE], prefix: '', partitions: PARTITIONS })
    const outputSchemaId = await registry.register('peer-value', AVRO.StreamFeature)
    const ours = ourSide(bootstrapBrokers)
    const peer = peerSide(await buildPeer(), bootstrapBrokers, outputSchemaId, store)
    print(
      `${keys} keys, ${keys * perKey} records in open windows; kill -9; a record per partition closes them`,
    )
    const runs: { ours: Restart; peer: Restart }[] = []
    for (let i = 0; i < rounds; i++) runs.push(await round(bench, i % 2 === 0 ? [ours, peer] : [peer, ours]))
    return summary(options, runs)
  } finally {
    await broker.close()
  }
}

function summary(
  { keys, perKey, store, print }: RecoveryOptions,
  runs: readonly { ours: Restart; peer: Restart }[],
): RecoveryBench {
  const of = (side: Side['name'], what: 'fromReading' | 'fromSpawn') =>
    median(runs.map((run) => run[side][what]))
  for (const side of ['ours', 'peer'] as const) {
    const each = runs.map((run) => run[side].fromReading.toFixed(2)).join(' ')
    print(
      `${side === 'ours' ? 'ours' : `Kafka Streams, ${store}`}: ${of(side, 'fromReading').toFixed(2)} s from reading to the first new output ` +
        `(${each}); ${of(side, 'fromSpawn').toFixed(2)} s from the start of the process`,
    )
  }
  const figure = of('ours', 'fromReading')
  const theirs = of('peer', 'fromReading')
  return {
    case: 'recovery',
    figure,
    unit: 's from reading to first new output',
    peer: {
      name: `Kafka Streams 4.3.1, exactly_once_v2, ${store}, restored from its changelogs`,
      figure: theirs,
      fromSpawn: of('peer', 'fromSpawn'),
    },
    ratio: theirs / figure,
    runs,
    fromSpawn: of('ours', 'fromSpawn'),
    keys,
    records: keys * perKey,
    targets: [
      atMost('s to first new output', figure, TARGET_S),
      atMost('of what the peer needs', figure / theirs, 1),
    ],
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      short: { type: 'boolean', default: false },
      brokers: { type: 'string' },
      rounds: { type: 'string' },
      keys: { type: 'string', default: String(KEYS) },
      'per-key': { type: 'string', default: '5' },
      store: { type: 'string', default: 'rocksdb' },
    },
  })
  const run = (bootstrapBrokers: string) =>
    benchRecovery({
      bootstrapBrokers,
      rounds: Number(values.rounds ?? (values.short ? SHORT_ROUNDS : ROUNDS)),
      keys: Number(values.keys),
      perKey: Number(values['per-key']),
      store: values.store === 'memory' ? 'memory' : 'rocksdb',
      print: (line) => console.log(line),
    })
  if (values.brokers !== undefined) return console.log(JSON.stringify(await run(values.brokers)))
  const dataDir = mkdtempSync(join(tmpdir(), 'forestall-bench-'))
  const kafka = await startKafka({ dataDir, partsDir: join('.forestall', 'parts'), throughput: true })
  try {
    console.log(JSON.stringify(await run(kafka.broker)))
  } finally {
    await kafka.stop()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
  await main()
}
