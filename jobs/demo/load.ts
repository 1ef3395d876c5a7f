import type { Flow, RegionProbe } from '#schemas'
import { fmix32 } from '#core/math'
import { createFlowTable } from './flow-table.ts'
import { createWorld, draw, type World, type WorldOptions } from './world.ts'

/** Settings of a load. */
export interface LoadOptions extends WorldOptions {
  /** Flow records per second of time, over all streams. */
  readonly recordsPerSecond: number
  /** One probe per region at every multiple of this. Default 250. */
  readonly probeEveryMs?: number
}

/** Telemetry of the demo's world. A stretch of time gives the same records however it is cut into slices. */
export interface Load {
  readonly world: World
  /**
   * The flow records that exporters send in [fromMs, toMs), in order of sending; their event times lie up to
   * MAX_DISORDER_MS before. The record is reused: copy what outlives the call. Returns how many.
   */
  flows(fromMs: number, toMs: number, emit: (flow: Flow, stream: number) => void): number
  /** The probes in [fromMs, toMs). `loadOf`: bytes/s that a region serves; by default those of the shortest paths. */
  probes(
    fromMs: number,
    toMs: number,
    emit: (probe: RegionProbe) => void,
    loadOf?: (region: string) => number,
  ): void
}

/** A record is sent at most this long after its event time, ms. */
export const MAX_DISORDER_MS = 100

/** A load; nothing of it depends on anything but the settings and the time asked for. */
export function createLoad(options: LoadOptions): Load {
  const { seed, network, recordsPerSecond, probeEveryMs = 250 } = options
  const world = createWorld(options)
  const { streams, regions } = network
  const table = createFlowTable(seed, streams)
  const perMs = recordsPerSecond / 1000
  /** Every stream is sampled equally often; what differs is how much traffic a record stands for. */
  const secondsPerRecord = streams.length / recordsPerSecond
  const flow = emptyFlow()
  const rates = new Float64Array(streams.length)

  function fill(index: number, sentMs: number): number {
    const stream = index % streams.length
    const random = fmix32(draw(seed, index, 7) * 2 ** 32)
    table.fill(flow, stream, random)
    flow.event_time_ms = sentMs - (fmix32(random ^ 0x51ed27) % MAX_DISORDER_MS)
    // Uniform around 1: what a window sums up stays close to the demand.
    const size = 0.6 + (0.8 * fmix32(random ^ 0x2545f491)) / 2 ** 32
    flow.bytes = Math.round(rates[stream]! * secondsPerRecord * size)
    flow.packets = Math.max(1, Math.round(flow.bytes / (streams[stream]?.packetBytes ?? 1)))
    return stream
  }

  return {
    world,
    flows(fromMs, toMs, emit) {
      const first = Math.ceil(fromMs * perMs)
      const end = Math.ceil(toMs * perMs)
      // Demand moves over windows: once per slice of 50 ms is enough.
      let ratesAt = Number.NaN
      for (let i = first; i < end; i++) {
        const sentMs = Math.floor(i / perMs)
        const at = sentMs - (sentMs % 50)
        if (at !== ratesAt) for (let k = 0; k < rates.length; k++) rates[k] = world.demand(k, at)
        ratesAt = at
        emit(flow, fill(i, sentMs))
      }
      return Math.max(0, end - first)
    },
    probes(fromMs, toMs, emit, loadOf) {
      for (let t = Math.ceil(fromMs / probeEveryMs) * probeEveryMs; t < toMs; t += probeEveryMs) {
        const home = world.homeLoad(t)
        for (const [r, region] of regions.entries()) {
          const load = loadOf?.(region.name) ?? home[r] ?? 0
          emit(probeOf(world, r, t, load))
        }
      }
    },
  }
}

function probeOf(world: World, index: number, atMs: number, load: number): RegionProbe {
  const state = world.region(index, atMs, load)
  const region = world.network.regions[index]
  return {
    event_time_ms: atMs,
    origin: 'demo',
    region: region?.name ?? '',
    up: state.up,
    rtt_ms: state.up ? state.rttMs : 0,
    jitter_ms: state.jitterMs,
    loss_ratio: state.up ? state.lossRatio : 1,
    error_ratio: state.errorRatio,
    bytes_per_second: Math.min(load, state.capacityBytesPerSecond),
    capacity_bytes_per_second: state.capacityBytesPerSecond,
    price_per_gb: region?.pricePerGb ?? 0,
  }
}

const emptyFlow = (): Flow => ({
  event_time_ms: 0,
  origin: 'demo',
  stream: '',
  bytes: 0,
  packets: 0,
  protocol: 0,
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
