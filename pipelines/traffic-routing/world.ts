import type { RegionFeature, StreamFeature } from '#schemas'
import { ByteReader, ByteWriter } from '#core/math'
import type { TrafficConfig } from './config.ts'
import { RING_BINS } from './features.ts'
import { usableCapacity } from './series.ts'
import type { Network } from './network.ts'
import { LEAVES, type ShareTree } from './shards/index.ts'

/** How fast the picture of where a stream's bytes lie on its ring forgets, per window. */
const RING_MEMORY = 0.98
/** Capacities and latencies that differ by less than this are the same: plans need not be made anew for them. */
const HEALTH_STEP = 0.1
/** A region that serves nothing keeps this part of its capacity, so that plans exist. */
const LEAST_CAPACITY = 0.01

const LEAVES_PER_BIN = LEAVES / RING_BINS

function shareTree(share: (leaf: number) => number): ShareTree {
  const tree = new Float64Array(2 * LEAVES)
  for (let leaf = 0; leaf < LEAVES; leaf++) tree[LEAVES + leaf] = share(leaf)
  for (let node = LEAVES - 1; node > 0; node--)
    tree[node] = (tree[2 * node] as number) + (tree[2 * node + 1] as number)
  return tree
}

const EVEN_SHARES = shareTree(() => 1 / LEAVES)

/** What the decisions know of the world: demands so far, where on its ring each stream lies, how the regions are. */
export class World {
  readonly #config: TrafficConfig
  readonly #pairOf: Map<string, number>
  readonly #ring: Float64Array
  /** Demand per window and pair, bytes per second, oldest first. */
  history: Float64Array[] = []
  /** Number of the newest window since the beginning. */
  windows = 0
  readonly #regions = new Map<string, { capacityShare: number; rttMs: number }>()
  /** Largest capacity each region has announced: what degraded means is measured against it. */
  readonly #full = new Map<string, number>()
  readonly #bestRttMs = new Map<string, number>()

  constructor(config: TrafficConfig) {
    this.#config = config
    this.#pairOf = new Map(config.network.pairNames.map((name, pair) => [name, pair]))
    this.#ring = new Float64Array(config.network.pairs * RING_BINS)
  }

  /** The pair of a stream; undefined if the network has none of that name. */
  pairOf(stream: string): number | undefined {
    return this.#pairOf.get(stream)
  }

  /** Takes one window in; a stream without a row carried nothing. */
  observe(streams: readonly StreamFeature[], regions: readonly RegionFeature[]): Float64Array {
    const demand = new Float64Array(this.#config.network.pairs)
    for (const row of streams) {
      const pair = this.#pairOf.get(row.stream)
      if (pair === undefined) continue
      demand[pair] = row.bytes_per_second
      if (row.ring_bytes.length === RING_BINS) this.#addRing(pair, row.ring_bytes)
    }
    for (const row of regions) this.#addRegion(row)
    this.history.push(demand)
    if (this.history.length > this.#config.historyWindows) this.history.shift()
    this.windows++
    return demand
  }

  #addRing(pair: number, bytes: readonly number[]): void {
    for (let bin = 0; bin < RING_BINS; bin++) {
      const at = pair * RING_BINS + bin
      this.#ring[at] = (this.#ring[at] as number) * RING_MEMORY + (bytes[bin] as number)
    }
  }

  #addRegion(row: RegionFeature): void {
    const usable = usableCapacity(row)
    const full = Math.max(this.#full.get(row.region) ?? 0, row.capacity_bytes_per_second_min)
    const rttMs = row.rtt_ms_mean
    this.#full.set(row.region, full)
    this.#bestRttMs.set(
      row.region,
      Math.min(this.#bestRttMs.get(row.region) ?? Number.POSITIVE_INFINITY, rttMs),
    )
    this.#regions.set(row.region, { capacityShare: full > 0 ? usable / full : 1, rttMs })
  }

  /** Health of a region in steps: share of its capacity that is usable (0..1), and round trip above its best, ms. */
  health(region: string): { capacityShare: number; addedMs: number } {
    const seen = this.#regions.get(region)
    if (seen === undefined) return { capacityShare: 1, addedMs: 0 }
    const addedMs = Math.max(0, seen.rttMs - (this.#bestRttMs.get(region) ?? seen.rttMs))
    const step = 10
    return {
      capacityShare: Math.max(LEAST_CAPACITY, Math.round(seen.capacityShare / HEALTH_STEP) * HEALTH_STEP),
      addedMs: addedMs < step ? 0 : Math.round(addedMs / step) * step,
    }
  }

  /** The network as it is now: paths into a degraded region are slower and their last link is smaller. */
  network(): Network {
    const base = this.#config.network
    const capacity = base.capacity.slice()
    const latencyMs = base.latencyMs.slice()
    const scaled = new Set<number>()
    for (let p = 0; p < base.paths; p++) {
      const { capacityShare, addedMs } = this.health(base.regions[p] as string)
      latencyMs[p] = (latencyMs[p] as number) + addedMs / 2
      const last = base.pathLinks[(base.pathStart[p + 1] as number) - 1] as number
      if (scaled.has(last) || !this.#regions.has(base.regions[p] as string)) continue
      scaled.add(last)
      capacity[last] = (capacity[last] as number) * capacityShare
    }
    return { ...base, capacity, latencyMs }
  }

  /** Changes when the health of any region has changed by a step. */
  healthKey(): string {
    return [...this.#regions.keys()]
      .sort()
      .map((region) => `${region}:${Object.values(this.health(region)).join('/')}`)
      .join(' ')
  }

  /** Where the bytes of a stream lie on its ring; evenly if that is unknown. */
  shares(pair: number): ShareTree {
    const bins = this.#ring.subarray(pair * RING_BINS, (pair + 1) * RING_BINS)
    const total = bins.reduce((sum, x) => sum + x, 0)
    return total > 0
      ? shareTree((leaf) => (bins[Math.floor(leaf / LEAVES_PER_BIN)] as number) / total / LEAVES_PER_BIN)
      : EVEN_SHARES
  }

  /** All of it as bytes. */
  snapshot(): Uint8Array {
    const writer = new ByteWriter(1 << 16)
    writer.varint(this.windows)
    writer.varint(this.history.length)
    for (const demand of this.history) for (const x of demand) writer.f32(x)
    for (const x of this.#ring) writer.f32(x)
    writer.varint(this.#regions.size)
    for (const [region, { capacityShare, rttMs }] of this.#regions) {
      writer.text(region)
      for (const x of [
        capacityShare,
        rttMs,
        this.#full.get(region) ?? 0,
        this.#bestRttMs.get(region) ?? rttMs,
      ])
        writer.f64(x)
    }
    return writer.take()
  }

  restore(bytes: Uint8Array): void {
    const reader = new ByteReader(bytes)
    this.windows = reader.varint()
    const rows = reader.varint()
    this.history = Array.from({ length: rows }, () =>
      Float64Array.from({ length: this.#config.network.pairs }, () => reader.f32()),
    )
    for (let i = 0; i < this.#ring.length; i++) this.#ring[i] = reader.f32()
    for (let left = reader.varint(); left > 0; left--) {
      const region = reader.text()
      this.#regions.set(region, { capacityShare: reader.f64(), rttMs: reader.f64() })
      this.#full.set(region, reader.f64())
      this.#bestRttMs.set(region, reader.f64())
    }
  }
}
