import { Buffer } from 'node:buffer'
import { createCodec, type RecordCodec } from '#core/codec'
import { type Broker, ForestallError, mulberry32, type Random, type SchemaRegistry } from '#core/ports'
import { partitionOf } from '#core/runtime'
import { AVRO, type Flow, type RecordName } from '#schemas'

/** What is loaded once for all runs of both sides. */
export interface InputSpec {
  readonly topic: string
  readonly partitions: number
  readonly records: number
  readonly keys: number
  /** Events per second of event time: how many records a window holds. */
  readonly eventsPerSecond: number
  /** Records come up to this much later than in order, ms. */
  readonly jitterMs: number
  readonly seed: number
}

const BASE_MS = 1_700_000_000_000
/** So much is sent before it waits for the acknowledgements. */
const PENDING_BYTES = 8 << 20
const FIRST_PORT = 1024
const MOST_BYTES = 1500

/** Keys have 16 bytes, as device ids do. */
export const keyOf = (k: number): string => `dev-${String(k).padStart(12, '0')}`

/**
 * Ids in the order of the names of our records: the same in every process, without a registry to start. `onAsked` is
 * told when a schema is asked for by its id.
 */
export function fixedRegistry(onAsked: () => void = () => undefined): SchemaRegistry {
  const names = Object.keys(AVRO) as RecordName[]
  return {
    async register(subject, schemaJson) {
      const at = names.findIndex((name) => AVRO[name] === schemaJson)
      if (at < 0) throw new ForestallError('SCHEMA_INCOMPATIBLE', `${subject} is none of our records`)
      return at + 1
    },
    async schemaById(id) {
      onAsked()
      const name = names[id - 1]
      if (name === undefined) throw new ForestallError('RECORD_SCHEMA_UNKNOWN', `schema ${id} is unknown`)
      return AVRO[name]
    },
  }
}

/** Schema id of a record in the fixed registry. */
export const schemaIdOf = (record: RecordName): number => Object.keys(AVRO).indexOf(record) + 1

/** Creates the input topic and fills it: flows as an exporter sends them, sizes whole numbers so that sums are exact. */
export async function loadInput(broker: Broker, spec: InputSpec): Promise<void> {
  const admin = broker.admin()
  await admin.ensureTopics([{ name: spec.topic, partitions: spec.partitions }])
  await admin.close()
  const codec = createCodec(fixedRegistry())
  await codec.prepare([{ topic: spec.topic, record: 'Flow' }])
  await sendAll(broker, codec, spec)
}

async function sendAll(broker: Broker, codec: RecordCodec, spec: InputSpec): Promise<void> {
  const { topic, partitions } = spec
  const producer = broker.producer()
  const keys = Array.from({ length: spec.keys }, (_, k) => Buffer.from(keyOf(k)))
  const targets = keys.map((key) => partitionOf(key, partitions))
  const random = mulberry32(spec.seed)
  for (let i = 0; i < spec.records; i++) {
    const k = random.uint32() % spec.keys
    const atMs = BASE_MS + Math.floor((i * 1000) / spec.eventsPerSecond)
    const flow = flowOf(keyOf(k), atMs - (random.uint32() % (spec.jitterMs + 1)), random, spec.partitions)
    producer.add(
      topic,
      targets[k] ?? 0,
      flow.event_time_ms,
      keys[k] ?? null,
      codec.encode(topic, 'Flow', flow),
    )
    if (producer.pendingBytes > PENDING_BYTES) await producer.flush()
  }
  await producer.flush()
  await producer.close()
}

/** A flow as an exporter sends it. */
export function flowOf(stream: string, event_time_ms: number, random: Random, regions: number): Flow {
  const bits = random.uint32()
  const bytes = 40 + (bits % (MOST_BYTES - 40))
  return {
    event_time_ms,
    origin: 'exporter-1',
    stream,
    bytes,
    packets: 1 + (bits & 7),
    protocol: bits & 8 ? 6 : 17,
    src_port: FIRST_PORT + (bits >>> 17),
    dst_port: 443,
    flow_hash: random.uint32(),
    duration_ms: bits & 1023,
    src_addr: `10.${bits & 255}.${(bits >>> 8) & 255}.${(bits >>> 16) & 255}`,
    dst_addr: `172.16.${(bits >>> 4) & 255}.${(bits >>> 12) & 255}`,
    src_region: `region-${bits % regions}`,
    dst_region: `region-${(bits >>> 3) % regions}`,
    sampling_rate: 1,
  }
}
