import { type RecordByName, type RecordName, TOPICS, topicSpec } from '#schemas'
import { createCodec, type RecordCodec } from '#core/codec'
import { type Broker, type ManualClock, systemClock } from '#core/ports'
import {
  count,
  createRecordReaders,
  createWorker,
  defineTopology,
  slotsOf,
  textOf,
  type Topology,
} from '#core/runtime'
import {
  createMemoryBroker,
  type MemoryBroker,
} from '../../../pipelines/core/runtime/testing/memory-broker.ts'
import { createMemoryRegistry } from '../../../pipelines/core/runtime/testing/memory-registry.ts'
import { until } from '../../support/until.ts'
import { FIELDS, flowWindows } from '../../core/runtime/fixtures.ts'
import { isSelfPair } from '../../../jobs/demo/truth.ts'
import { scanTopic } from '../../../jobs/topic-reader.ts'

const F = slotsOf(FIELDS)
const PROBE_FIELDS = ['event_time_ms', 'region'] as const

/** Windows of streams and regions, as a topology that counts and nothing more. */
export function countingTopology(sizeMs: number, earliestMs: number): Topology {
  const flows = flowWindows({ sizeMs, graceMs: 200 })
  const source = flows.sources['flows']
  if (source === undefined) throw new Error('the fixture has no source')
  return defineTopology({
    ...flows,
    name: 'counting',
    sources: {
      flows: {
        ...source,
        earliestMs,
        check: (row) => {
          if (!((row.numbers[F.bytes] ?? Number.NaN) >= 0)) return { invalid: 'bytes' }
          return isSelfPair(textOf(row, F.stream)) ? { skip: 'self_pair' } : undefined
        },
      },
      probes: {
        ...source,
        topic: 'telemetry.regions',
        record: 'RegionProbe',
        fields: PROBE_FIELDS,
        earliestMs,
        check: () => undefined,
      },
    },
    windows: {
      ...flows.windows,
      regions: {
        from: 'probes',
        key: 'region',
        sizeMs,
        advanceMs: sizeMs,
        graceMs: 200,
        aggregates: { records: count() },
        merge: { topic: 'internal.regions', partitions: 1 },
        to: {
          topic: 'features.regions',
          record: 'RegionFeature',
          row: (w): RecordByName['RegionFeature'] => ({
            region: w.key,
            window_start_ms: w.startMs,
            window_end_ms: w.endMs,
            records: w.value('records'),
            up_ratio: 1,
            rtt_ms_mean: 0,
            rtt_ms_p95: 0,
            jitter_ms_mean: 0,
            loss_ratio_mean: 0,
            error_ratio_mean: 0,
            bytes_per_second_mean: 0,
            capacity_bytes_per_second_min: 0,
            price_per_gb_mean: 0,
            incomplete: w.incomplete,
          }),
        },
      },
    },
  })
}

/** A broker in memory with every topic, and a codec that knows them. */
export async function memoryWorld(prefix = ''): Promise<{ broker: MemoryBroker; codec: RecordCodec }> {
  const broker = createMemoryBroker()
  const codec = createCodec(createMemoryRegistry())
  await ensureTopics(broker, prefix)
  await codec.prepare(
    TOPICS.flatMap(({ name, record }) => (record === null ? [] : [{ topic: name, record }])),
  )
  return { broker, codec }
}

/** Creates every topic, and the internal ones of `countingTopology`. */
export async function ensureTopics(broker: Broker, prefix: string): Promise<void> {
  const admin = broker.admin()
  await admin.ensureTopics([
    ...TOPICS.map(({ name }) => topicSpec(name, { prefix })),
    { name: `${prefix}internal.partials`, partitions: 2 },
    { name: `${prefix}internal.regions`, partitions: 1 },
  ])
  await admin.close()
}

/** Runs the topology over what is in the topics, end marks included, until every window has been written. */
export async function process(
  broker: Broker,
  codec: RecordCodec,
  topology: Topology,
  expected: { windows: number; clock?: ManualClock; prefix?: string },
): Promise<void> {
  const { prefix = '', clock = systemClock } = expected
  const worker = createWorker({
    topology,
    broker,
    encoder: codec,
    readers: createRecordReaders(codec),
    clock,
    slot: 'test-0',
    prefix,
    commitIntervalMs: 10,
    onFatal: (error) => {
      throw error
    },
  })
  await worker.start()
  try {
    const features = ['features.streams', 'features.regions']
    await until(async () => (await records(broker, features, prefix)) >= expected.windows, {
      what: 'all windows',
    })
  } finally {
    await worker.stop()
  }
}

/** Committed records of topics, marks left out. */
async function records(broker: Broker, bases: readonly string[], prefix: string): Promise<number> {
  let seen = 0
  await eachRecord(broker, bases, prefix, (_base, value) => {
    if (value !== null) seen++
  })
  return seen
}

type Visit = (
  base: string,
  value: Buffer | null,
  at: { partition: number; offset: number; timestampMs: number; key: Buffer | null },
) => void

/** Every committed record that stands in the topics. */
export async function eachRecord(
  broker: Broker,
  bases: readonly string[],
  prefix: string,
  visit: Visit,
): Promise<void> {
  for (const base of bases) {
    await scanTopic(broker, `${prefix}${base}`, (cursor) => {
      const { buffer, keyStart, keyLength, valueStart, valueLength } = cursor
      const copy = (from: number, length: number): Buffer | null =>
        length < 0 ? null : Buffer.from(buffer.subarray(from, from + length))
      const { partition, offset, timestampMs } = cursor
      const key = copy(keyStart, keyLength)
      visit(base, copy(valueStart, valueLength), { partition, offset, timestampMs, key })
    })
  }
}

/** Decodes a value of a prepared topic. */
export const decodeAs =
  <R extends RecordName>(codec: RecordCodec, record: R) =>
  (value: Buffer): RecordByName[R] =>
    codec.decode(value, 0, value.length, record)
