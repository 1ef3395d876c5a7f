import { count, defineTopology, max, min, slotsOf, sum, type Topology } from '#core/runtime'
import type { SchemaRegistry } from '#core/ports'
import { AVRO, type Flow, type StreamFeature } from '#schemas'
import { createMemoryRegistry } from '../../pipelines/core/runtime/testing/memory-registry.ts'

const FIELDS = ['event_time_ms', 'stream', 'bytes'] as const
const F = slotsOf(FIELDS)

/** A topology whose input is written while it runs. */
export interface LiveTopologyOptions {
  readonly name: string
  readonly input: string
  readonly output: string
  readonly windowMs: number
  readonly graceMs: number
  /** Internal topic where partial aggregates of all source partitions meet; '': keys follow the partitions. */
  readonly partials: string
  readonly partitions: number
}

/** Count, sum, smallest and largest per key and window. */
export function liveTopology(options: LiveTopologyOptions): Topology {
  const { name, input, output, windowMs, graceMs, partials, partitions } = options
  return defineTopology({
    name,
    sources: {
      flows: {
        topic: input,
        record: 'Flow',
        fields: FIELDS,
        eventTime: 'event_time_ms',
        maxAheadMs: 60_000,
        earliestMs: 1,
        idleMs: 60_000,
        maxRecordBytes: 1_000_000,
      },
    },
    windows: {
      streams: {
        from: 'flows',
        key: 'stream',
        sizeMs: windowMs,
        advanceMs: windowMs,
        graceMs,
        aggregates: { records: count(), bytes: sum(F.bytes), smallest: min(F.bytes), largest: max(F.bytes) },
        ...(partials === '' ? {} : { merge: { topic: partials, partitions } }),
        to: { topic: output, record: 'StreamFeature', row: (w) => featureOf(w) },
      },
    },
    rounds: {},
  })
}

function featureOf(w: {
  readonly key: string
  readonly startMs: number
  readonly endMs: number
  readonly incomplete: boolean
  value(name: string): number
}): StreamFeature {
  return {
    stream: w.key,
    window_start_ms: w.startMs,
    window_end_ms: w.endMs,
    records: w.value('records'),
    bytes: w.value('bytes'),
    packets: 0,
    bytes_per_second: 0,
    packet_bytes_mean: 0,
    packet_bytes_p50: w.value('smallest'),
    packet_bytes_p95: w.value('largest'),
    tcp_share: 0,
    udp_share: 0,
    sources: 0,
    destinations: 0,
    incomplete: w.incomplete,
    ring_bytes: [],
  }
}

/** A flow of which only stream, time and size matter. */
export const liveFlow = (event_time_ms: number, stream: string, bytes: number): Flow => ({
  event_time_ms,
  origin: 'bench',
  stream,
  bytes,
  packets: 1,
  protocol: 6,
  src_port: 50_000,
  dst_port: 443,
  flow_hash: bytes,
  duration_ms: 1,
  src_addr: '10.0.0.1',
  dst_addr: '10.0.0.2',
  src_region: 'a',
  dst_region: 'b',
  sampling_rate: 1,
})

/** All records, registered in the same order in every process: a registry that needs no server. */
export async function knownRegistry(): Promise<SchemaRegistry> {
  const registry = createMemoryRegistry()
  for (const [name, schema] of Object.entries(AVRO)) await registry.register(name, schema)
  return registry
}
