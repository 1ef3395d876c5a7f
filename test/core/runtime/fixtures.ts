import type { Flow, Forecast, RecordByName } from '../../../schemas/index.ts'
import {
  count,
  defineTopology,
  max,
  slotsOf,
  sum,
  type Topology,
  textOf,
  windowNode,
} from '../../../pipelines/core/runtime/index.ts'

export const FIELDS = ['event_time_ms', 'stream', 'bytes', 'packets', 'src_region', 'dst_region'] as const
const F = slotsOf(FIELDS)

/** Flows by stream in windows, merged over partitions unless `merge` is 0. */
export function flowWindows(
  options: { sizeMs?: number; advanceMs?: number; graceMs?: number; merge?: number } = {},
): Topology {
  const { sizeMs = 1000, graceMs = 0, merge = 2 } = options
  return defineTopology({
    name: 'test.windows',
    sources: {
      flows: {
        topic: 'telemetry.flows',
        record: 'Flow',
        fields: FIELDS,
        eventTime: 'event_time_ms',
        maxAheadMs: 10_000,
        earliestMs: 1,
        idleMs: 5_000,
        maxRecordBytes: 10_000,
        check(row) {
          if (!((row.numbers[F.bytes] as number) >= 0))
            return { invalid: `bytes ${row.numbers[F.bytes]} must not be negative` }
          return textOf(row, F.stream) === 'self' ? { skip: 'self_pair' } : undefined
        },
      },
    },
    windows: {
      streams: {
        from: 'flows',
        key: 'stream',
        sizeMs,
        advanceMs: options.advanceMs ?? sizeMs,
        graceMs,
        aggregates: { records: count(), bytes: sum(F.bytes), packets: max(F.packets) },
        ...(merge > 0 ? { merge: { topic: 'internal.partials', partitions: merge } } : {}),
        to: {
          topic: 'features.streams',
          record: 'StreamFeature',
          row: (w): RecordByName['StreamFeature'] => ({
            stream: w.key,
            window_start_ms: w.startMs,
            window_end_ms: w.endMs,
            records: w.value('records'),
            bytes: w.value('bytes'),
            packets: w.value('packets'),
            bytes_per_second: 0,
            packet_bytes_mean: 0,
            packet_bytes_p50: 0,
            packet_bytes_p95: 0,
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

/** A flow with everything unknown but what matters here. */
export const flow = (event_time_ms: number, stream: string, bytes: number, packets = 1): Flow => ({
  event_time_ms,
  origin: 'test',
  stream,
  bytes,
  packets,
  protocol: 6,
  src_port: 0,
  dst_port: 0,
  flow_hash: 0,
  duration_ms: 0,
  src_addr: '',
  dst_addr: '',
  src_region: '',
  dst_region: '',
  sampling_rate: 1,
})

/** A forecast that carries a running total of an entity. */
export const totalOf = (entity: string, timeMs: number, value: number): Forecast => ({
  scope: 'default',
  entity,
  metric: 'total',
  issued_at_ms: timeMs,
  target_ms: timeMs,
  horizon_ms: 0,
  q025: value,
  q10: value,
  q50: value,
  q90: value,
  q975: value,
  q99: value,
  model: 'total',
  model_version: '1',
  seasonal_naive: null,
  scale: null,
})

/** The windows of flows as the input of a round, and totals as its output. */
export const totalsRound = (windows: Topology) =>
  ({
    inputs: {
      features: {
        topic: 'features.streams',
        record: 'StreamFeature',
        time: 'window_end_ms',
        writers: [
          { node: windowNode(windows.name, 'streams'), partitionsOf: 'features.streams', aligned: true },
        ],
      },
    },
    outputs: { forecasts: { topic: 'forecasts.traffic', record: 'Forecast', marked: true } },
  }) as const

/** The windows expected of flows, as text lines, computed the plain way. */
export function offline(flows: readonly Flow[], sizeMs: number, advanceMs = sizeMs): string[] {
  const windows = new Map<string, [records: number, bytes: number, packets: number]>()
  for (const f of flows) {
    const last = Math.floor(f.event_time_ms / advanceMs) * advanceMs
    for (let start = last; start > f.event_time_ms - sizeMs; start -= advanceMs) {
      const key = `${f.stream}@${start}`
      const w = windows.get(key) ?? [0, 0, Number.NEGATIVE_INFINITY]
      windows.set(key, [w[0] + 1, w[1] + f.bytes, Math.max(w[2], f.packets)])
    }
  }
  return [...windows].map(([key, w]) => `${key} ${w.join(' ')}`).sort()
}

/** Windows as the same text lines. */
export const lines = (rows: readonly RecordByName['StreamFeature'][]): string[] =>
  rows.map((r) => `${r.stream}@${r.window_start_ms} ${r.records} ${r.bytes} ${r.packets}`).sort()
