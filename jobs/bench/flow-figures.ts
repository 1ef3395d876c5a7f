import { count, max, min, type Row, slotsOf, type SourceSpec, sum } from '#core/runtime'
import type { Flow, StreamFeature } from '#schemas'

const FIELDS = ['event_time_ms', 'stream', 'bytes'] as const
const F = slotsOf(FIELDS)

/** A source of flows that reads as little of them as the figures need. */
export const flowSource = (topic: string, idleMs: number): SourceSpec => ({
  topic,
  record: 'Flow',
  fields: FIELDS,
  eventTime: 'event_time_ms',
  maxAheadMs: 60_000,
  earliestMs: 1,
  idleMs,
  maxRecordBytes: 1_000_000,
})

/** Count, sum, smallest and largest size. */
export const FIGURES = {
  records: count(),
  bytes: sum(F.bytes),
  smallest: min(F.bytes),
  largest: max(F.bytes),
}

/** The sum of squares beside them. */
export const SQUARES = { squares: sum((row: Row): number => (row.numbers[F.bytes] as number) ** 2) }

/** A window with the figures. */
interface Figures {
  readonly key: string
  readonly startMs: number
  readonly endMs: number
  readonly incomplete: boolean
  value(name: string): number
}

/**
 * The figures in fields of StreamFeature: records, bytes, packet_bytes_p50 (smallest), packet_bytes_p95 (largest), and bytes_per_second
 * (`squares`).
 */
export const figuresOf = (w: Figures, squares: number): StreamFeature => ({
  stream: w.key,
  window_start_ms: w.startMs,
  window_end_ms: w.endMs,
  records: w.value('records'),
  bytes: w.value('bytes'),
  packets: 0,
  bytes_per_second: squares,
  packet_bytes_mean: 0,
  packet_bytes_p50: w.value('smallest'),
  packet_bytes_p95: w.value('largest'),
  tcp_share: 0,
  udp_share: 0,
  sources: 0,
  destinations: 0,
  incomplete: w.incomplete,
  ring_bytes: [],
})

/** The figures with the sum of squares. */
export const figuresWithSquares = (w: Figures): StreamFeature => figuresOf(w, w.value('squares'))

/** A flow of which only stream, time and size matter. */
export const plainFlow = (stream: string, event_time_ms: number, bytes: number): Flow => ({
  event_time_ms,
  origin: 'bench',
  stream,
  bytes,
  packets: 1,
  protocol: 6,
  src_port: 50_000,
  dst_port: 443,
  flow_hash: 0,
  duration_ms: 1,
  src_addr: '10.0.0.1',
  dst_addr: '10.0.0.2',
  src_region: 'a',
  dst_region: 'b',
  sampling_rate: 1,
})
