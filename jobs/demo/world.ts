import { combine32, fmix32 } from '#core/math'
import type { DemoNetwork, DemoStream } from './scenario.ts'

/** What is out of the ordinary on one day. */
export interface DayIncidents {
  /** One stream asks for `factor` times its usual traffic. */
  readonly burst: {
    readonly stream: string
    readonly factor: number
    readonly fromMs: number
    readonly toMs: number
  }
  /** One region answers slowly, loses packets and can serve less. */
  readonly degradation: { readonly region: string; readonly fromMs: number; readonly toMs: number }
}

/** How a region does. */
export interface RegionState {
  /** False while it does not answer at all. */
  readonly up: boolean
  readonly rttMs: number
  readonly jitterMs: number
  readonly lossRatio: number
  readonly errorRatio: number
  readonly capacityBytesPerSecond: number
}

/** The demo's world: everything is a function of seed and time, so that any stretch can be made again. */
export interface World {
  readonly network: DemoNetwork
  /** bytes/s of a stream (index into `network.streams`). */
  demand(stream: number, atMs: number): number
  /** bytes/s at each region (order of `network.regions`) if every stream takes its shortest path. */
  homeLoad(atMs: number): Float64Array
  /** A region that serves `load` bytes/s. */
  region(index: number, atMs: number, load: number): RegionState
  incidents(atMs: number): DayIncidents
}

/** Settings of a world. */
export interface WorldOptions {
  readonly seed: number
  readonly network: DemoNetwork
  readonly windowMs: number
  /** Length of one compressed day; default 60 windows. */
  readonly dayMs?: number
}

/** A burst adds this part of the traffic of its whole site. */
const BURST_OF_SITE = 0.6
const BURST_DAYS = 0.2
const DEGRADATION_DAYS = 0.2
const NOISE = 0.06
const NIGHT = 0.35

/** A number in [0, 1) that depends on all of its arguments. */
export function draw(seed: number, a: number, b: number): number {
  const high = Math.floor(a / 2 ** 32)
  return fmix32(combine32(combine32(combine32(seed, a >>> 0), high), b)) / 2 ** 32
}

/** Rises to 1 and falls back to 0 over an eighth of the stretch at each end, 0 outside. */
function ramp(atMs: number, fromMs: number, toMs: number): number {
  if (atMs < fromMs || atMs >= toMs) return 0
  const edge = (toMs - fromMs) / 8
  return Math.min(1, (atMs - fromMs) / edge, (toMs - atMs) / edge)
}

/** Daily curve, NIGHT..1, top at half of the day. */
const dailyShape = (day: number): number =>
  NIGHT + (1 - NIGHT) * (0.5 - 0.5 * Math.cos(2 * Math.PI * day)) ** 1.5

/** A world; see `WorldOptions`. */
export function createWorld({ seed, network, windowMs, dayMs = 60 * windowMs }: WorldOptions): World {
  const { streams, regions } = network
  const heavy = streams.toSorted((a, b) => b.peakBytesPerSecond - a.peakBytesPerSecond)
  const bursting = heavy.slice(0, Math.ceil(heavy.length / 2))
  const homes = streams.map((s) => regions.findIndex((r) => r.name === s.homeRegion))
  const used = regions.filter((r) => streams.some((s) => s.homeRegion === r.name))
  let last: { day: number; incidents: DayIncidents } | null = null

  function plan(day: number): DayIncidents {
    const startMs = day * dayMs
    const within = (lengthDays: number, salt: number) => {
      const fromMs = startMs + dayMs * (0.05 + draw(seed, day, salt) * (0.9 - lengthDays))
      return { fromMs, toMs: fromMs + lengthDays * dayMs }
    }
    const stream = bursting[Math.floor(draw(seed, day, 1) * bursting.length)] as DemoStream
    // The burst falls on the daily peak of its stream: where the region is at its fullest.
    const peakMs = startMs + (((0.5 + stream.dayShift) % 1) - BURST_DAYS / 2) * dayMs
    const fromMs = Math.max(startMs, peakMs + (draw(seed, day, 2) - 0.5) * 0.1 * dayMs)
    const site = streams.filter((s) => s.site === stream.site)
    const siteBytes = site.reduce((sum, s) => sum + s.peakBytesPerSecond, 0)
    return {
      burst: {
        stream: stream.name,
        factor: 1 + (BURST_OF_SITE * siteBytes) / stream.peakBytesPerSecond,
        fromMs,
        toMs: Math.min(startMs + dayMs, fromMs + BURST_DAYS * dayMs),
      },
      degradation: {
        region: used[Math.floor(draw(seed, day, 3) * used.length)]?.name ?? '',
        ...within(DEGRADATION_DAYS, 4),
      },
    }
  }

  function incidents(atMs: number): DayIncidents {
    const day = Math.floor(atMs / dayMs)
    if (last?.day !== day) last = { day, incidents: plan(day) }
    return last.incidents
  }

  /** Smooth noise around 1: cosine between draws two windows apart. */
  function noise(stream: number, atMs: number): number {
    const at = atMs / (2 * windowMs)
    const knot = Math.floor(at)
    const mix = 0.5 - 0.5 * Math.cos(Math.PI * (at - knot))
    const from = draw(seed, knot, 1000 + stream)
    const to = draw(seed, knot + 1, 1000 + stream)
    return 1 + NOISE * (2 * (from + (to - from) * mix) - 1)
  }

  function demand(index: number, atMs: number): number {
    const stream = streams[index] as DemoStream
    const { burst } = incidents(atMs)
    const more = burst.stream === stream.name ? (burst.factor - 1) * ramp(atMs, burst.fromMs, burst.toMs) : 0
    const day = atMs / dayMs - stream.dayShift
    return stream.peakBytesPerSecond * dailyShape(day - Math.floor(day)) * noise(index, atMs) * (1 + more)
  }

  return {
    network,
    demand,
    incidents,
    homeLoad(atMs) {
      const load = new Float64Array(regions.length)
      for (const [k, home] of homes.entries()) load[home] = (load[home] ?? 0) + demand(k, atMs)
      return load
    },
    region: (index, atMs, load) => regionState(index, atMs, load),
  }

  function regionState(index: number, atMs: number, load: number): RegionState {
    const region = regions[index]
    if (region === undefined) throw new RangeError(`There is no region ${index}.`)
    const { degradation } = incidents(atMs)
    const { fromMs, toMs } = degradation
    const ill = degradation.region === region.name ? ramp(atMs, fromMs, toMs) : 0
    const flapping = ill === 1 && draw(seed, Math.floor((atMs - fromMs) / (dayMs / 120)), 5) < 0.25
    const capacity = region.capacityBytesPerSecond * (1 - 0.5 * ill)
    const utilisation = load / capacity
    // Queueing delay of one server (M/M/1), bounded where it would not end.
    const queue = 1 / Math.max(0.05, 1 - utilisation)
    const rttMs = region.rttMs * queue + 120 * ill
    return {
      up: !flapping,
      rttMs: rttMs * (0.9 + 0.2 * draw(seed, Math.floor(atMs), 2000 + index)),
      jitterMs: 0.05 * rttMs,
      lossRatio: Math.min(1, 0.0005 + 0.04 * ill + Math.max(0, 1 - 1 / utilisation)),
      errorRatio: Math.min(1, 0.001 + 0.05 * ill),
      capacityBytesPerSecond: capacity,
    }
  }
}
