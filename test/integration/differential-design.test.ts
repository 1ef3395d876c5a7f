import { beforeAll, describe, expect, inject, test } from 'vitest'
import { createCodec } from '#core/codec'
import { createBroker } from '#infra/kafka'
import { AVRO, type DeadLetter } from '#schemas'
import type { Lane } from '../../jobs/bench/differential-input.ts'
import { plainFlow } from '../../jobs/bench/flow-figures.ts'
import { inputOf, outputOf, prepareOurs, runOurs } from '../../jobs/bench/differential-ours.ts'
import { readTopic } from '../../jobs/topic-reader.ts'
import { createMemoryRegistry } from '../../pipelines/core/runtime/testing/memory-registry.ts'
import { readWindows, runPeer, type Windows } from '../bench/peers/kafka-streams/peer.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'

failOnLeaks()

const BASE_MS = 1_700_000_000_000
const YEAR_MS = 365 * 86_400_000
const PARTITIONS = 3
const SHAPE = { sizeMs: 10_000, advanceMs: 10_000, graceMs: 1000 }
/** Partitions follow the key. */
const POISON: Lane = { name: 'poison', ...SHAPE }
/** The same keys in two partitions, of which one is 50 s behind; a third is silent from the beginning. */
const SCATTERED: Lane = {
  name: 'scattered',
  ...SHAPE,
  merge: { topic: 'partials.scattered', partitions: 1 },
  idleMs: 500,
}
const LANES = [POISON, SCATTERED]

/** Lane, partition, key, event time and Kafka timestamp after `BASE_MS`, value. */
type Sent = readonly [
  lane: Lane,
  partition: number,
  key: string,
  atMs: number,
  kafkaMs: number,
  value: number,
]

/** One record a second for a minute; after the 21st, one from a clock that is a year ahead. */
const poisoned = (): Sent[] =>
  Array.from({ length: 60 }, (_, i): Sent => [POISON, 0, 'a', i * 1000, i * 1000, 1]).toSpliced(21, 0, [
    POISON,
    0,
    'a',
    YEAR_MS,
    21_000,
    1000,
  ])

const scattered = (): Sent[] =>
  Array.from({ length: 60 }, (_, i) => i * 1000).flatMap((atMs): Sent[] => [
    [SCATTERED, 0, 'a', atMs + 50_000, atMs + 50_000, 1],
    [SCATTERED, 1, 'a', atMs, atMs, 100],
  ])

/** The last record of a partition on both sides: later than all windows and their grace. */
const ends = (): Sent[] =>
  [[POISON, 0] as const, [SCATTERED, 0] as const, [SCATTERED, 1] as const].map(
    ([lane, partition]): Sent => [lane, partition, 'end', 200_000, 200_000, 0],
  )

describe('where we differ from Kafka Streams by design', () => {
  const bootstrapBrokers = inject('kafkaBrokers')
  const prefix = `${uniqueName('design')}.`
  const found = new Map<string, Windows>()
  const letters: DeadLetter[] = []

  beforeAll(async () => {
    const registry = createMemoryRegistry()
    const codec = createCodec(registry)
    const broker = createBroker({ bootstrapBrokers: bootstrapBrokers.split(','), clientId: prefix })
    const run = { broker, codec, lanes: LANES, prefix, partitions: PARTITIONS }
    const theirs = (lane: Lane) => `${prefix}theirs.${lane.name}`
    try {
      await prepareOurs(run)
      const admin = broker.admin()
      await admin.ensureTopics([
        ...LANES.flatMap((lane) => [
          { name: `${prefix}${inputOf(lane)}`, partitions: PARTITIONS },
          { name: `${prefix}${outputOf(lane)}`, partitions: PARTITIONS },
          { name: theirs(lane), partitions: PARTITIONS },
          { name: `${prefix}dlq.${inputOf(lane)}`, partitions: 1 },
        ]),
        { name: `${prefix}partials.scattered`, partitions: 1 },
        { name: `${prefix}audit.offsets`, partitions: 1 },
      ])
      await admin.close()
      const producer = broker.producer()
      for (const [lane, partition, key, atMs, kafkaMs, value] of [...poisoned(), ...scattered(), ...ends()]) {
        const topic = inputOf(lane)
        const bytes = codec.encode(topic, 'Flow', plainFlow(key, BASE_MS + atMs, value))
        producer.add(`${prefix}${topic}`, partition, BASE_MS + kafkaMs, Buffer.from(key), bytes)
      }
      await producer.close()
      const read = (topic: string) => readWindows(broker, codec, topic)
      await runOurs(run, async () => (await read(`${prefix}${outputOf(SCATTERED)}`)).rows.size === 11)
      const outputSchemaId = await registry.register('theirs-value', AVRO.StreamFeature)
      await runPeer({
        bootstrapBrokers,
        applicationId: `${prefix}theirs`,
        store: 'memory',
        cacheMb: 0,
        javaOptions: ['-XX:+UseSerialGC'],
        lanes: LANES.map(({ name, sizeMs, advanceMs, graceMs }) => ({
          name,
          sizeMs,
          advanceMs,
          graceMs,
          input: `${prefix}in.${name}`,
          output: `${prefix}theirs.${name}`,
          outputSchemaId,
        })),
      })
      for (const lane of LANES) {
        found.set(`ours ${lane.name}`, await read(`${prefix}${outputOf(lane)}`))
        found.set(`theirs ${lane.name}`, await read(theirs(lane)))
      }
      await readTopic(
        broker,
        codec,
        `${prefix}dlq.${inputOf(POISON)}`,
        'DeadLetter',
        (l) => void letters.push(l),
      )
    } finally {
      await broker.close()
    }
  })

  /** Records per window start (s after the base); a window that came more than once has several. */
  const countsOf = (name: string): Record<number, number[]> => {
    const { rows, repeated } = found.get(name) ?? { rows: new Map(), repeated: [] }
    const counts: Record<number, number[]> = {}
    const add = (id: string, kept: string) => {
      const at = (Number(/@(\d+)-/.exec(id)?.[1]) - BASE_MS) / 1000
      ;(counts[at] ??= []).push(Number(kept.split(' ')[0]))
    }
    for (const [id, kept] of rows) if (id.startsWith('a@')) add(id, kept)
    for (const line of repeated) add(line, line.split(' ').slice(1).join(' '))
    return counts
  }

  test('a clock that is a year ahead: they drop what follows as late, we keep it and set the one record apart', () => {
    expect(countsOf('ours poison')).toEqual({ 0: [10], 10: [10], 20: [10], 30: [10], 40: [10], 50: [10] })
    expect(letters.map((l) => `${l.offset} ${l.reason_code}`)).toEqual(['21 RECORD_TIME_INVALID'])
    expect(countsOf('theirs poison')).toEqual({ 0: [10], 10: [10], 20: [1] })
  })

  test('a key in several partitions: they give a row per partition, we merge partial aggregates into one', () => {
    const ours = countsOf('ours scattered')
    expect(ours).toEqual(
      Object.fromEntries(Array.from({ length: 11 }, (_, w) => [w * 10, [w === 5 ? 20 : 10]])),
    )
    expect(countsOf('theirs scattered')[50]).toEqual([10, 10])
  })

  test('a silent partition: we wait for it until it is idle, they never do; both give all windows of the others', () => {
    expect(Object.keys(countsOf('ours scattered'))).toEqual(Object.keys(countsOf('theirs scattered')))
  })
})
