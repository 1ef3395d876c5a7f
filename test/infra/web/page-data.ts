import type { RecordCursor, Warehouse } from '#core/ports'
import { compileRows, RowBytes } from '#core/warehouse'
import { type RouteBody, type ShardBody, tableSpec } from '#schemas'

/** Ten seconds. */
export const WINDOW_MS = 10_000
const HORIZONS = 6
const BITS = 3
const REGIONS = ['ams', 'fra', 'lhr'] as const

/** Writes records of a topic into its table as the sink does. */
export function createTableWriter(warehouse: Warehouse, firstOffset = 0) {
  let offset = firstOffset
  return async (
    table: string,
    topic: string,
    records: readonly { key: string; timestampMs: number; value: object | null }[],
  ): Promise<void> => {
    const encoder = compileRows(tableSpec(table))
    const out = new RowBytes()
    for (const { key, timestampMs, value } of records) {
      const buffer = Buffer.from(key)
      const place = { topic, partition: 0, offset: offset++, timestampMs, buffer }
      const ranges = { keyStart: 0, keyLength: buffer.length, valueStart: 0, valueLength: value ? 1 : -1 }
      encoder.encode(out, value, { ...place, ...ranges } as unknown as RecordCursor)
    }
    await warehouse.insertRowBinary(table, encoder.columns, out.bytes())
  }
}

const HEAD = {
  subsystem: 'traffic-routing',
  canary_share: 1,
  replay_id: '',
  inputs: [{ topic: 'risks.traffic', partition: 0, offset: 41 }],
  model_version: 'm1',
  policy_version: 'p1',
  supersedes: null,
}

/** The envelope of a decision. */
export function decisionOf(stream: string, id: string, atMs: number, risk: number, body: object) {
  const reason = {
    risk,
    drivers: [
      'forecast to rise from 6.1 MB/s to 9.4 MB/s in 50 s (median)',
      'now at 6.1 MB/s, 61 % of limit',
    ],
    q10: 7e6,
    q50: 9.4e6,
    q90: 1.2e7,
    cost_now: 14.2,
    cost_after: 5.1,
  }
  const times = { issued_at_ms: atMs, not_before_ms: atMs, expires_at_ms: atMs + 3_600_000 }
  return { ...HEAD, ...times, decision_id: id, entity: stream, epoch: atMs, mode: 'apply', reason, body }
}

/** Eight shards of equal size, `critical` of them critical. */
export function shardBody(stream: string, bits = BITS): ShardBody {
  const shards = Array.from({ length: 2 ** bits }, (_, prefix) => ({
    shard_id: `${stream}/${bits}/${prefix}`,
    depth: bits,
    prefix,
    share: 1 / 2 ** bits,
    priority: prefix % 3,
    critical: prefix === 0,
    min_regions: 2,
  }))
  return { stream, shards }
}

/** Paths with these weights over the three regions. */
export function routeBody(stream: string, weights: readonly number[], bits = BITS): RouteBody {
  const paths = weights.map((weight, i) => ({
    path_id: `${REGIONS[i]}-transit`,
    region: REGIONS[i] ?? '',
    weight,
  }))
  const assignments = shardBody(stream, bits).shards.map(({ shard_id, depth, prefix, priority }) => {
    const at = (prefix + 0.5) / 2 ** bits
    const first = weights[0] ?? 1
    const i = at < first ? 0 : at < first + (weights[1] ?? 1) ? 1 : 2
    return {
      shard_id,
      depth,
      prefix,
      path_id: `${REGIONS[i]}-transit`,
      region: REGIONS[i] ?? '',
      priority,
    }
  })
  return { stream, paths, assignments, region_owner: 'fra' }
}

/** An ack of a decision. */
export const ackOf = (
  decision: ReturnType<typeof decisionOf>,
  topic: string,
  follower: string,
  ms: number,
) => ({
  decision_id: decision.decision_id,
  decision_topic: topic,
  entity: decision.entity,
  epoch: decision.epoch,
  follower,
  state: 'applied',
  at_ms: decision.issued_at_ms + ms,
  observed: { shards: '8', paths: '3', changed_ring: '0.125000' },
})

/** A smooth day-like curve with a surge at the end and reproducible noise. */
function volume(stream: number, step: number, windows: number): number {
  const noise = Math.sin(step * 12.9898 + stream * 78.233) * 43758.5453
  const wave = 1 + 0.25 * Math.sin(step / 14 + stream)
  const surge = stream === 0 ? 0.9 / (1 + Math.exp(-(step - windows + 22) / 5)) : 0
  return (1 + stream * 0.8) * 2.4e6 * (wave + surge + 0.12 * (noise - Math.floor(noise) - 0.5))
}

const feature = (stream: string, endMs: number, bps: number) => ({
  stream,
  window_start_ms: endMs - WINDOW_MS,
  window_end_ms: endMs,
  records: 900,
  bytes: bps * 10,
  packets: bps / 80,
  bytes_per_second: bps,
  packet_bytes_mean: 800,
  packet_bytes_p50: 780,
  packet_bytes_p95: 1400,
  tcp_share: 0.8,
  udp_share: 0.2,
  sources: 120,
  destinations: 18,
  incomplete: false,
})

const forecast = (stream: string, issuedMs: number, h: number, median: number) => ({
  scope: 'default',
  entity: stream,
  metric: 'bytes_per_second',
  issued_at_ms: issuedMs,
  target_ms: issuedMs + h * WINDOW_MS,
  horizon_ms: h * WINDOW_MS,
  q025: median * (1 - 0.1 * Math.sqrt(h)),
  q10: median * (1 - 0.065 * Math.sqrt(h)),
  q50: median,
  q90: median * (1 + 0.065 * Math.sqrt(h)),
  q975: median * (1 + 0.1 * Math.sqrt(h)),
  q99: median * (1 + 0.13 * Math.sqrt(h)),
  model: 'holt_winters',
  model_version: 'm1',
  seasonal_naive: null,
  scale: null,
})

const risk = (stream: string, issuedMs: number, probability: number, limit: number, at: number) => ({
  scope: 'default',
  entity: stream,
  metric: 'bytes_per_second',
  issued_at_ms: issuedMs,
  horizon_ms: HORIZONS * WINDOW_MS,
  probability,
  limit,
  q10: at * 0.9,
  q50: at,
  q90: at * 1.1,
  anomaly_score: 0.2,
  anomaly_direction: 0,
  anomaly_metric: '',
  drivers:
    probability > 0.3
      ? ['forecast to rise from 4.4 MB/s to 6.2 MB/s in 50 s (median)', 'now at 4.4 MB/s, 73 % of limit']
      : ['now far below the limit'],
  model_version: 'm1',
})

/** Streams of the data. */
export const STREAMS = ['checkout', 'search', 'video-eu', 'telemetry', 'backup'] as const

/**
 * Fills the tables with `windows` windows of five streams that end at `endMs`: `checkout` surges at the end, is cut
 * finer and moved. Returns the decisions of `checkout`, oldest first.
 */
export async function writePageData(warehouse: Warehouse, endMs: number, windows = 120) {
  const write = createTableWriter(warehouse)
  const rows = { features: [], forecasts: [], risks: [] } as Record<string, Row[]>
  type Row = { key: string; timestampMs: number; value: object }
  for (const [s, stream] of STREAMS.entries()) {
    const limit = (1 + s * 0.8) * 2.4e6 * 2
    for (let step = 1; step <= windows; step++) {
      const at = endMs - (windows - step) * WINDOW_MS
      const row = (value: object): Row => ({ key: stream, timestampMs: at, value })
      rows['features']?.push(row(feature(stream, at, volume(s, step, windows))))
      if (step < 24) continue
      let worst = 0
      for (let h = 1; h <= HORIZONS; h++) {
        const median = (volume(s, step + h, windows) + volume(s, step, windows)) / 2
        worst = Math.max(worst, median)
        rows['forecasts']?.push(row(forecast(stream, at, h, median)))
      }
      const probability = 1 / (1 + Math.exp(-18 * (worst / limit - 0.9)))
      rows['risks']?.push(row(risk(stream, at, probability, limit, worst)))
    }
  }
  await write('features_streams', 'features.streams', rows['features'] ?? [])
  await write('forecasts_traffic', 'forecasts.traffic', rows['forecasts'] ?? [])
  await write('risks_traffic', 'risks.traffic', rows['risks'] ?? [])
  return await writeDecisions(write, endMs)
}

async function writeDecisions(write: ReturnType<typeof createTableWriter>, endMs: number) {
  const routes = 'decisions.traffic.routes'
  const shards = 'decisions.traffic.shards'
  const at = (windowsAgo: number): number => endMs - windowsAgo * WINDOW_MS
  const made: [string, ReturnType<typeof decisionOf>][] = [
    [shards, decisionOf('checkout', 'cut-1', at(80), 0.04, shardBody('checkout', 2))],
    [routes, decisionOf('checkout', 'route-1', at(80), 0.04, routeBody('checkout', [0.75, 0.25, 0], 2))],
    [routes, decisionOf('checkout', 'route-2', at(50), 0.05, routeBody('checkout', [0.75, 0.25, 0], 2))],
    [shards, decisionOf('checkout', 'cut-2', at(22), 0.62, shardBody('checkout'))],
    [routes, decisionOf('checkout', 'route-3', at(22), 0.62, routeBody('checkout', [0.5, 0.3, 0.2]))],
    ...STREAMS.slice(1).flatMap((stream, i): [string, ReturnType<typeof decisionOf>][] => [
      [shards, decisionOf(stream, `cut-${stream}`, at(70 - i), 0.02, shardBody(stream, i % 3))],
      [routes, decisionOf(stream, `route-${stream}`, at(70 - i), 0.02, routeBody(stream, SPLITS[i] ?? [1]))],
    ]),
    [routes, decisionOf('checkout', 'route-4', at(5), 0.81, routeBody('checkout', [0.35, 0.4, 0.25]))],
  ]
  for (const topic of [shards, routes]) {
    const own = made.filter(([of]) => of === topic).map(([, value]) => value)
    await write(
      'decisions',
      topic,
      own.map((value) => ({ key: value.entity, timestampMs: value.issued_at_ms, value })),
    )
  }
  const acks = made.flatMap(([topic, decision], i) => [
    ackOf(decision, topic, 'haproxy-ams', 420 + 13 * i),
    ackOf(decision, topic, 'sdk-edge-1', 310 + 29 * i),
  ])
  await write(
    'acks_decisions',
    'acks.decisions',
    acks.map((value) => ({ key: value.entity, timestampMs: value.at_ms, value })),
  )
  await writeRest(write, endMs)
  return made.filter(([, it]) => it.entity === 'checkout').map(([, it]) => it)
}

const SPLITS = [[0.2, 0.6, 0.2], [0, 0, 1], [1], [0, 1, 0]]

async function writeRest(write: ReturnType<typeof createTableWriter>, endMs: number): Promise<void> {
  const regions = REGIONS.map((region, i) => ({
    region,
    window_start_ms: endMs - WINDOW_MS,
    window_end_ms: endMs,
    records: 10,
    up_ratio: 1,
    rtt_ms_mean: 11 + 7 * i,
    rtt_ms_p95: 19 + 9 * i,
    jitter_ms_mean: 1.2,
    loss_ratio_mean: 0.002 * i,
    error_ratio_mean: 0,
    bytes_per_second_mean: 9e6 + 5e6 * i,
    capacity_bytes_per_second_min: 2.5e7,
    price_per_gb_mean: 0.02,
    incomplete: false,
  }))
  const rows = regions.map((value) => ({ key: value.region, timestampMs: endMs, value }))
  await write('features_regions', 'features.regions', rows)
  const dead = {
    topic: 'telemetry.flows',
    partition: 2,
    offset: 7731,
    timestamp_ms: endMs,
    key: null,
    value: Buffer.from('{"bytes":-1}'),
    reason_code: 'RECORD_INVALID',
    reason: 'bytes: -1 is below 0',
    topology: 'traffic-features',
    at_ms: endMs,
  }
  await write('dead_letters', 'dlq.telemetry.flows', [{ key: '2-7731', timestampMs: endMs, value: dead }])
}
