import type { LinkSpec, PairSpec, PathSpec } from '#traffic-routing'

/** A region that serves traffic. */
export interface DemoRegion {
  readonly name: string
  /** What it can serve, bytes/s: the capacity of its link. */
  readonly capacityBytesPerSecond: number
  /** Round trip inside the region when idle, ms. */
  readonly rttMs: number
  readonly pricePerGb: number
  /** Index of its link in `links`: the last one of every path into it. */
  readonly link: number
}

/** The traffic of one service at one client site. */
export interface DemoStream {
  /** `site>service`. */
  readonly name: string
  readonly site: string
  readonly service: string
  /** The region of its shortest path. */
  readonly homeRegion: string
  /** At the top of the daily curve, bytes/s, without burst. */
  readonly peakBytesPerSecond: number
  /** Part of the day by which its curve is shifted, 0..1 (time zone of the site). */
  readonly dayShift: number
  /** Mean packet, bytes. */
  readonly packetBytes: number
  /** IP protocol number. */
  readonly protocol: number
  readonly port: number
  /** Served first when capacity is scarce. */
  readonly critical: boolean
}

/** The network of the demo: inputs of `createNetwork` (bytes/s, ms), and what they stand for. */
export interface DemoNetwork {
  readonly links: readonly LinkSpec[]
  /** One per stream, in the order of `streams`; shortest path first. */
  readonly pairs: readonly PairSpec[]
  readonly regions: readonly DemoRegion[]
  readonly streams: readonly DemoStream[]
}

const REGIONS = [
  { name: 'eu-west', size: 1, rttMs: 2, pricePerGb: 0.05 },
  { name: 'eu-north', size: 0.8, rttMs: 2, pricePerGb: 0.03 },
  { name: 'us-east', size: 1, rttMs: 2, pricePerGb: 0.05 },
  { name: 'ap-south', size: 1, rttMs: 3, pricePerGb: 0.08 },
] as const

/** One way over the long haul, ms, in the order of REGIONS. */
const SITES = [
  { name: 'paris', oneWayMs: [6, 19, 41, 58], dayShift: 0 },
  { name: 'newyork', oneWayMs: [38, 46, 5, 96], dayShift: 0.25 },
  { name: 'singapore', oneWayMs: [79, 88, 108, 17], dayShift: 0.6 },
] as const

/** `share` of the traffic of a site with all four. */
const SERVICES = [
  { name: 'web', share: 0.3, packetBytes: 700, protocol: 6, port: 443, critical: false },
  { name: 'api', share: 0.2, packetBytes: 380, protocol: 6, port: 8443, critical: true },
  { name: 'video', share: 0.4, packetBytes: 1250, protocol: 17, port: 443, critical: false },
  { name: 'search', share: 0.1, packetBytes: 520, protocol: 6, port: 9200, critical: true },
] as const

const PEAK_PER_SHARE = 60e6
/** The daily peak of a site fills this part of its home region: one burst more is too much. */
const PEAK_UTILISATION = 0.8
/** Capacity of the way to the home region and to the others, as multiples of the home region's. */
const HOME_LINK = 1.5
const FAR_LINK = 0.6

/**
 * Four regions, three client sites, and `streams` streams (site x service; default 12). Each site has a region next to
 * it that takes its daily peak, but not a burst on top; the other regions have room, further away.
 * Throws RangeError for fewer than one stream.
 */
export function demoNetwork(streams = 12): DemoNetwork {
  if (!(Number.isInteger(streams) && streams > 0))
    throw new RangeError(`streams = ${streams} must be 1 or more.`)
  const made = Array.from({ length: streams }, (_, i) => streamOf(i))
  const sitePeak = Math.max(...SITES.map((site) => peakOf(made, site.name)))
  const full = sitePeak / PEAK_UTILISATION
  const long: LinkSpec[] = SITES.flatMap((site, s) =>
    REGIONS.map((region, r) => ({
      name: `${site.name}-${region.name}`,
      capacity: full * (r === homeOf(s) ? HOME_LINK : FAR_LINK),
      latencyMs: site.oneWayMs[r] ?? 0,
    })),
  )
  const serving = REGIONS.map((r) => ({ name: r.name, capacity: full * r.size, latencyMs: r.rttMs / 2 }))
  const regions = REGIONS.map((r, i) => ({
    name: r.name,
    capacityBytesPerSecond: full * r.size,
    rttMs: r.rttMs,
    pricePerGb: r.pricePerGb,
    link: long.length + i,
  }))
  const pairs = made.map((stream, i) => ({
    name: stream.name,
    paths: pathsOf(i % SITES.length, long.length),
  }))
  return { links: [...long, ...serving], pairs, regions, streams: made }
}

const peakOf = (streams: readonly DemoStream[], site: string): number =>
  streams.filter((s) => s.site === site).reduce((sum, s) => sum + s.peakBytesPerSecond, 0)

/** The nearest region of a site. */
function homeOf(site: number): number {
  const ways: readonly number[] = SITES[site]?.oneWayMs ?? []
  return ways.indexOf(Math.min(...ways))
}

function streamOf(i: number): DemoStream {
  const s = i % SITES.length
  const n = Math.floor(i / SITES.length)
  const site = SITES[s] ?? SITES[0]
  const service = SERVICES[n % SERVICES.length] ?? SERVICES[0]
  const round = Math.floor(n / SERVICES.length)
  const name = round === 0 ? service.name : `${service.name}${round + 1}`
  return {
    name: `${site.name}>${name}`,
    site: site.name,
    service: name,
    homeRegion: REGIONS[homeOf(s)]?.name ?? '',
    peakBytesPerSecond: PEAK_PER_SHARE * service.share,
    dayShift: site.dayShift,
    packetBytes: service.packetBytes,
    protocol: service.protocol,
    port: service.port + round,
    critical: service.critical,
  }
}

/** A path over each region, nearest first: the long haul, then the serving capacity. */
function pathsOf(site: number, firstServing: number): PathSpec[] {
  const ways: readonly number[] = SITES[site]?.oneWayMs ?? []
  return REGIONS.map((region, r) => ({
    region: region.name,
    links: [site * REGIONS.length + r, firstServing + r],
    way: ways[r] ?? 0,
  }))
    .toSorted((a, b) => a.way - b.way)
    .map(({ region, links }) => ({ region, links }))
}
