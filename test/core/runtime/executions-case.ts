import { mulberry32 } from '../../../pipelines/core/ports/index.ts'
import {
  count,
  defineTopology,
  distinct,
  histogram,
  max,
  mean,
  min,
  type Row,
  sketch,
  slotsOf,
  sum,
  type Topology,
} from '../../../pipelines/core/runtime/index.ts'
import type { Flow, StreamFeature } from '../../../schemas/index.ts'
import { flow } from './fixtures.ts'

const FIELDS = ['event_time_ms', 'stream', 'bytes', 'packets', 'src_addr'] as const
const F = slotsOf(FIELDS)
const BINS = 4

export const NOW = 1_000_000
const GRACE_MS = 500
const RECORDS = 600
/** 20 windows of a second. */
const SPAN_MS = 20_000
const STREAMS = 8

/** The shape of the case: where its records enter, and whether partitions follow the key. */
export interface CaseShape {
  /** Default: `telemetry.flows` alone. Each has a window node of its own; all write to the same output. */
  readonly sources?: readonly string[]
  /** Partitions of the merge topic; 0: partitions follow the key, the source's task closes its windows. Default 2. */
  readonly merge?: number
  readonly advanceMs?: number
  readonly sizeMs?: number
}

/** All aggregates over flows by stream. */
export function caseTopology(shape: CaseShape = {}): Topology {
  const { sources = ['telemetry.flows'], merge = 2, sizeMs = 1000 } = shape
  return defineTopology({
    name: 'test.executions',
    sources: Object.fromEntries(sources.map((topic) => [topic, sourceOf(topic)])),
    windows: Object.fromEntries(
      sources.map((topic) => [
        `streams.${topic}`,
        {
          from: topic,
          key: 'stream',
          sizeMs,
          advanceMs: shape.advanceMs ?? sizeMs,
          graceMs: GRACE_MS,
          aggregates: AGGREGATES,
          ...(merge > 0 ? { merge: { topic: `internal.${topic}`, partitions: merge } } : {}),
          to: { topic: 'features.streams', record: 'StreamFeature' as const, row: rowOf },
        },
      ]),
    ),
    rounds: {},
  })
}

const sourceOf = (topic: string): Topology['sources'][string] => ({
  topic,
  record: 'Flow',
  fields: FIELDS,
  eventTime: 'event_time_ms',
  maxAheadMs: 60_000,
  earliestMs: 1,
  idleMs: 5_000,
  maxRecordBytes: 10_000,
})

const AGGREGATES = {
  records: count(),
  bytes: sum(F.bytes),
  least: min(F.bytes),
  packets: max(F.packets),
  mean: mean(F.bytes),
  sizes: sketch(F.bytes),
  sources: distinct(F.src_addr),
  ring: histogram(F.bytes, BINS, (row: Row) => (row.numbers[F.packets] as number) % BINS),
}

const rowOf: Topology['windows'][string]['to']['row'] = (w): StreamFeature => ({
  stream: w.key,
  window_start_ms: w.startMs,
  window_end_ms: w.endMs,
  records: w.value('records'),
  bytes: w.value('bytes'),
  packets: w.value('packets'),
  bytes_per_second: w.value('least'),
  packet_bytes_mean: w.value('mean'),
  packet_bytes_p50: w.quantile('sizes', 0.5),
  packet_bytes_p95: w.quantile('sizes', 0.95),
  tcp_share: 0,
  udp_share: 0,
  sources: w.value('sources'),
  destinations: 0,
  incomplete: w.incomplete,
  ring_bytes: Array.from({ length: BINS }, (_, bin) => w.bin('ring', bin)),
})

/** The flows of the case in order of their time; sizes are whole numbers, so that sums are exact in any order. */
export function caseFlows(): Flow[] {
  const random = mulberry32(42)
  return Array.from({ length: RECORDS }, (_, i) => {
    const bytes = 1 + (random.uint32() % 1500)
    const base = flow(
      NOW + Math.floor((i * SPAN_MS) / RECORDS),
      `s${random.uint32() % STREAMS}`,
      bytes,
      1 + (bytes % 7),
    )
    return { ...base, src_addr: `10.0.0.${random.uint32() % 40}` }
  })
}

/** The same flows with neighbours exchanged: each comes at most `GRACE_MS` after a later one. */
export function shuffledWithinGrace(flows: readonly Flow[]): Flow[] {
  const random = mulberry32(7)
  const keyed = flows.map((f) => ({ f, at: f.event_time_ms + (random.uint32() % (GRACE_MS - 1)) }))
  return keyed.sort((a, b) => a.at - b.at).map(({ f }) => f)
}

/** The same flows, a fifth of them up to five seconds late: some within grace, some beyond it. */
export function lateFlows(): Flow[] {
  const random = mulberry32(11)
  return caseFlows().map((f) => {
    const lateMs = random.uint32() % 5 === 0 ? random.uint32() % 5000 : 0
    return { ...f, event_time_ms: f.event_time_ms - lateMs }
  })
}

/** Windows as text, sorted: what every execution must give. */
export const windowLines = (rows: readonly StreamFeature[]): string =>
  `${rows
    .map((w) =>
      [
        `${w.stream}@${w.window_start_ms}-${w.window_end_ms}`,
        w.records,
        w.bytes,
        w.packets,
        w.bytes_per_second,
        w.packet_bytes_mean.toFixed(9),
        w.packet_bytes_p50,
        w.packet_bytes_p95,
        w.sources,
        w.ring_bytes.join('/'),
        w.incomplete,
      ].join(' '),
    )
    .sort()
    .join('\n')}\n`
