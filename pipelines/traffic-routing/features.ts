import type { RegionFeature, StreamFeature } from '#schemas'
import {
  lengthAt,
  numberAt as at,
  quantileOf,
  refuseEmpty,
  refuseRatios,
  refuseSizes,
  sourceOf,
  tumbling,
  windowFields,
} from '#core/features'
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
  sum,
  textOf,
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

function sameText(row: Row, a: number, b: number): boolean {
  const length = lengthAt(row, a)
  if (length <= 0 || length !== lengthAt(row, b)) return false
  for (let i = 0; i < length; i++) {
    if (row.buffer[(row.starts[a] as number) + i] !== row.buffer[(row.starts[b] as number) + i]) return false
  }
  return true
}

const SELF_PAIR = { skip: 'self_pair' } as const
const FLOW_SIZES = ['bytes', 'packets'] as const

/** A flow needs sizes that are finite and not negative, and a stream; traffic from a region to itself is not routed. */
function checkFlow(row: Row): Verdict {
  const refused = refuseSizes(row, FLOW, FLOW_SIZES) ?? refuseEmpty(row, FLOW, 'stream', 'stream')
  return refused ?? (sameText(row, FLOW.src_region, FLOW.dst_region) ? SELF_PAIR : undefined)
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
    const refused = refuseSizes(row, PROBE, PROBE_SIZES) ?? refuseRatios(row, PROBE, PROBE_RATIOS)
    if (refused !== undefined) return refused
    const region = textOf(row, PROBE.region)
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
    ...windowFields(w),
    stream: w.key,
    records: w.value('records'),
    bytes,
    packets,
    bytes_per_second: (bytes * 1000) / (w.endMs - w.startMs),
    packet_bytes_mean: packets > 0 ? bytes / packets : 0,
    packet_bytes_p50: quantileOf(w, 'packet_bytes', 0.5),
    packet_bytes_p95: quantileOf(w, 'packet_bytes', 0.95),
    tcp_share: share('tcp_bytes'),
    udp_share: share('udp_bytes'),
    sources: w.value('sources'),
    destinations: w.value('destinations'),
    ring_bytes: ringBytes,
  }
}

function regionRow(w: ClosedWindow): RegionFeature {
  return {
    ...windowFields(w),
    region: w.key,
    records: w.value('records'),
    up_ratio: w.value('up'),
    rtt_ms_mean: w.value('rtt_ms'),
    rtt_ms_p95: quantileOf(w, 'rtt_ms_p95', 0.95),
    jitter_ms_mean: w.value('jitter_ms'),
    loss_ratio_mean: w.value('loss_ratio'),
    error_ratio_mean: w.value('error_ratio'),
    bytes_per_second_mean: w.value('bytes_per_second'),
    capacity_bytes_per_second_min: w.value('capacity_bytes_per_second'),
    price_per_gb_mean: w.value('price_per_gb'),
  }
}

/** telemetry.flows and telemetry.regions to features, window by window. Keys need not match partitions. */
export function featuresTopology(config: TrafficConfig): Topology {
  const shape = tumbling(config)
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
      flows: sourceOf(config, {
        topic: 'telemetry.flows',
        record: 'Flow',
        fields: FLOW_FIELDS,
        check: checkFlow,
      }),
      probes: sourceOf(config, {
        topic: 'telemetry.regions',
        record: 'RegionProbe',
        fields: PROBE_FIELDS,
        check: checkProbe(new Set(config.network.regions)),
      }),
    },
    windows: { streams, regions },
  })
}
