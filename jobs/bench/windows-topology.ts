import { count, defineTopology, max, min, type Row, slotsOf, sum, type Topology } from '#core/runtime'
import type { StreamFeature } from '#schemas'

const FIELDS = ['event_time_ms', 'stream', 'bytes'] as const
const F = slotsOf(FIELDS)

/** How late a record may come, ms. */
export const GRACE_MS = 5000

const square = (row: Row): number => (row.numbers[F.bytes] as number) ** 2

/**
 * Count, sum, sum of squares, smallest and largest size per key and window. The five figures travel in fields of
 * StreamFeature: records, bytes, bytes_per_second (sum of squares), packet_bytes_p50 (smallest), packet_bytes_p95
 * (largest).
 */
export function benchTopology(name: string, input: string, output: string, windowMs: number): Topology {
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
        idleMs: 600_000,
        maxRecordBytes: 1_000_000,
      },
    },
    windows: {
      streams: {
        from: 'flows',
        key: 'stream',
        sizeMs: windowMs,
        advanceMs: windowMs,
        graceMs: GRACE_MS,
        aggregates: {
          records: count(),
          bytes: sum(F.bytes),
          squares: sum(square),
          smallest: min(F.bytes),
          largest: max(F.bytes),
        },
        to: {
          topic: output,
          record: 'StreamFeature',
          row: (w): StreamFeature => ({
            stream: w.key,
            window_start_ms: w.startMs,
            window_end_ms: w.endMs,
            records: w.value('records'),
            bytes: w.value('bytes'),
            packets: 0,
            bytes_per_second: w.value('squares'),
            packet_bytes_mean: 0,
            packet_bytes_p50: w.value('smallest'),
            packet_bytes_p95: w.value('largest'),
            tcp_share: 0,
            udp_share: 0,
            sources: 0,
            destinations: 0,
            incomplete: w.incomplete,
            ring_bytes: [],
          }),
        },
      },
    },
    rounds: {},
  })
}
