import type { RegionFeature, StreamFeature } from '#schemas'
import {
  type ClosedWindow,
  count,
  defineTopology,
  distinct,
  histogram,
  mean,
  min,
  type Row,
  sketch,
  slotsOf,
  type SourceSpec,
  sum,
  type Topology,
  type Verdict,
  type WindowSpec,
} from '#core/runtime'
import type { TrafficConfig } from './config.ts'

/** Name of the topology: its consumer group. */
export const FEATURES = 'traffic.features'
/** Bins of the ring of flow hashes that a stream's features carry. */
export const RING_BINS = 64

const FLOW_FIELDS = [
  'event_time_ms',
  'stream',
  'bytes',
  'packets',
  'protocol',
  'flow_hash',
  'src_addr',
  'dst_addr',
  'src_region',
  'dst_region',
] as const
const FLOW = slotsOf(FLOW_FIELDS)
const PROBE_FIELDS = [
  'event_time_ms',
  'region',
  'up',
  'rtt_ms',
  'jitter_ms',
  'loss_ratio',
  'error_ratio',
  'bytes_per_second',
  'capacity_bytes_per_second',
  'price_per_gb',
] as const
const PROBE = slotsOf(PROBE_FIELDS)
const TCP = 6
const UDP = 17

const at = (row: Row, slot: number): number => row.numbers[slot] as number
const isSize = (value: number) => value >= 0 && value < Number.POSITIVE_INFINITY

function sameText(row: Row, a: number, b: number): boolean {
  const length = (row.ends[a] as number) - (row.starts[a] as number)
  if (length <= 0 || length !== (row.ends[b] as number) - (row.starts[b] as number)) return false
  for (let i = 0; i < length; i++) {
    if (row.buffer[(row.starts[a] as number) + i] !== row.buffer[(row.starts[b] as number) + i]) return false
  }
  return true
}

const SELF_PAIR = { skip: 'self_pair' } as const

/** A flow needs sizes that are finite and not negative, and a stream; traffic from a region to itself is not routed. */
function checkFlow(row: Row): Verdict {
  for (const field of ['bytes', 'packets'] as const) {
    if (!isSize(at(row, FLOW[field])))
      return { invalid: `${field} = ${at(row, FLOW[field])}: must be a finite number of 0 or more` }
  }
  if (row.starts[FLOW.stream] === row.ends[FLOW.stream])
    return { invalid: "stream = '': must name the stream" }
  return sameText(row, FLOW.src_region, FLOW.dst_region) ? SELF_PAIR : undefined
}

const PROBE_SIZES = [
  'rtt_ms',
  'jitter_ms',
  'bytes_per_second',
  'capacity_bytes_per_second',
  'price_per_gb',
] as const
const PROBE_RATIOS = ['loss_ratio', 'error_ratio'] as const

function checkProbe(regions: ReadonlySet<string>): (row: Row) => Verdict {
  return (row) => {
    for (const field of PROBE_SIZES) {
      if (!isSize(at(row, PROBE[field])))
        return { invalid: `${field} = ${at(row, PROBE[field])}: must be a finite number of 0 or more` }
    }
    for (const field of PROBE_RATIOS) {
      const value = at(row, PROBE[field])
      if (!(value >= 0 && value <= 1)) return { invalid: `${field} = ${value}: must lie in 0..1` }
    }
    const region = row.buffer.toString('utf8', row.starts[PROBE.region], row.ends[PROBE.region])
    return regions.has(region)
      ? undefined
      : { invalid: `region = '${region}': the network has no such region` }
  }
}

function streamRow(w: ClosedWindow): StreamFeature {
  const bytes = w.value('bytes')
  const packets = w.value('packets')
  const share = (name: string) => (bytes > 0 ? w.value(name) / bytes : 0)
  const ringBytes = Array.from({ length: RING_BINS }, (_, bin) => w.bin('ring', bin))
  return {
    stream: w.key,
    window_start_ms: w.startMs,
    window_end_ms: w.endMs,
    records: w.value('records'),
    bytes,
    packets,
    bytes_per_second: (bytes * 1000) / (w.endMs - w.startMs),
    packet_bytes_mean: packets > 0 ? bytes / packets : 0,
    packet_bytes_p50: finite(w.quantile('packet_bytes', 0.5)),
    packet_bytes_p95: finite(w.quantile('packet_bytes', 0.95)),
    tcp_share: share('tcp_bytes'),
    udp_share: share('udp_bytes'),
    sources: w.value('sources'),
    destinations: w.value('destinations'),
    incomplete: w.incomplete,
    ring_bytes: ringBytes,
  }
}

const finite = (value: number) => (Number.isFinite(value) ? value : 0)

function regionRow(w: ClosedWindow): RegionFeature {
  return {
    region: w.key,
    window_start_ms: w.startMs,
    window_end_ms: w.endMs,
    records: w.value('records'),
    up_ratio: w.value('up'),
    rtt_ms_mean: w.value('rtt_ms'),
    rtt_ms_p95: finite(w.quantile('rtt_ms_p95', 0.95)),
    jitter_ms_mean: w.value('jitter_ms'),
    loss_ratio_mean: w.value('loss_ratio'),
    error_ratio_mean: w.value('error_ratio'),
    bytes_per_second_mean: w.value('bytes_per_second'),
    capacity_bytes_per_second_min: w.value('capacity_bytes_per_second'),
    price_per_gb_mean: w.value('price_per_gb'),
    incomplete: w.incomplete,
  }
}

const source = (
  config: TrafficConfig,
  spec: Pick<SourceSpec, 'topic' | 'record' | 'fields' | 'check'>,
): SourceSpec => ({
  ...spec,
  eventTime: 'event_time_ms',
  maxAheadMs: config.maxAheadMs,
  earliestMs: config.earliestMs,
  idleMs: config.idleMs,
  maxRecordBytes: config.maxRecordBytes,
})

/** telemetry.flows and telemetry.regions to features, window by window. Keys need not match partitions. */
export function featuresTopology(config: TrafficConfig): Topology {
  const shape = { sizeMs: config.windowMs, advanceMs: config.windowMs, graceMs: config.graceMs }
  const streams: WindowSpec = {
    ...shape,
    from: 'flows',
    key: 'stream',
    aggregates: {
      records: count(),
      bytes: sum(FLOW.bytes),
      packets: sum(FLOW.packets),
      packet_bytes: sketch((row) => at(row, FLOW.bytes) / Math.max(1, at(row, FLOW.packets))),
      tcp_bytes: sum((row) => (at(row, FLOW.protocol) === TCP ? at(row, FLOW.bytes) : 0)),
      udp_bytes: sum((row) => (at(row, FLOW.protocol) === UDP ? at(row, FLOW.bytes) : 0)),
      sources: distinct(FLOW.src_addr),
      destinations: distinct(FLOW.dst_addr),
      // Interval data knows no flows (hash 0): where its bytes lie on the ring is unknown.
      ring: histogram(
        (row) => (at(row, FLOW.flow_hash) === 0 ? 0 : at(row, FLOW.bytes)),
        RING_BINS,
        (row) => Math.floor(at(row, FLOW.flow_hash) / (2 ** 32 / RING_BINS)) & (RING_BINS - 1),
      ),
    },
    merge: { topic: 'internal.traffic.streams', partitions: config.partitions },
    to: { topic: 'features.streams', record: 'StreamFeature', row: streamRow },
  }
  const regions: WindowSpec = {
    ...shape,
    from: 'probes',
    key: 'region',
    aggregates: {
      records: count(),
      up: mean(PROBE.up),
      rtt_ms: mean(PROBE.rtt_ms),
      rtt_ms_p95: sketch(PROBE.rtt_ms),
      jitter_ms: mean(PROBE.jitter_ms),
      loss_ratio: mean(PROBE.loss_ratio),
      error_ratio: mean(PROBE.error_ratio),
      bytes_per_second: mean(PROBE.bytes_per_second),
      capacity_bytes_per_second: min(PROBE.capacity_bytes_per_second),
      price_per_gb: mean(PROBE.price_per_gb),
    },
    merge: { topic: 'internal.traffic.regions', partitions: 2 },
    to: { topic: 'features.regions', record: 'RegionFeature', row: regionRow },
  }
  return defineTopology({
    name: FEATURES,
    sources: {
      flows: source(config, {
        topic: 'telemetry.flows',
        record: 'Flow',
        fields: FLOW_FIELDS,
        check: checkFlow,
      }),
      probes: source(config, {
        topic: 'telemetry.regions',
        record: 'RegionProbe',
        fields: PROBE_FIELDS,
        check: checkProbe(new Set(config.network.regions)),
      }),
    },
    windows: { streams, regions },
    rounds: {},
  })
}
