import { setTimeout as delay } from 'node:timers/promises'
import { type Clock, ForestallError, systemClock } from '#core/ports'
import type { RegionProbe } from '#schemas'
import { createProbeHistory } from './history.ts'
import { createMeasure } from './measure.ts'

/** A region to probe. */
interface ProbedRegion {
  readonly region: string
  /** `http://`, `https://` or `tcp://host:port`. */
  readonly url: string
  /** What the region can serve, unless its JSON answer says `capacity_bytes_per_second`. Default 0: unknown. */
  readonly capacityBytesPerSecond?: number
  /** Price of a GB, unless its JSON answer says `price_per_gb`. Default 0. */
  readonly pricePerGb?: number
}

/** Settings of a prober; times in ms. */
export interface RegionProberConfig {
  readonly regions: readonly ProbedRegion[]
  /** Name of this vantage point. */
  readonly origin: string
  /** From round to round. Default 5,000. */
  readonly intervalMs?: number
  /** Without an answer by then a probe is lost. Default 2,000, at most the interval. */
  readonly timeoutMs?: number
  /** Probes over which jitter, loss and errors are taken. Default 16. */
  readonly window?: number
  readonly clock?: Clock
}

/** Probes regions from where it runs. */
export interface RegionProber {
  /** One round: a probe of every region, at the same time. A lost probe has `up` false and the timeout as its round trip. */
  probe(): Promise<RegionProbe[]>
  /** Rounds at the interval until the signal; a round that took longer is followed at once, missed ones are left out. */
  watch(signal: AbortSignal): AsyncIterable<RegionProbe>
  /** Closes its connections. */
  close(): void
}

const INTERVAL_MS = 5000
const TIMEOUT_MS = 2000
const WINDOW = 16

/** Makes a prober; it connects with the first round. Throws CONFIG_INVALID for a target it cannot probe. */
export function createRegionProber(config: RegionProberConfig): RegionProber {
  const { intervalMs = INTERVAL_MS, window = WINDOW, clock = systemClock, origin } = config
  const timeoutMs = Math.min(config.timeoutMs ?? TIMEOUT_MS, intervalMs)
  const measure = createMeasure()
  const regions = config.regions.map((r) => ({
    ...r,
    target: targetOf(r),
    history: createProbeHistory(window),
  }))

  async function probeOne(r: (typeof regions)[number]): Promise<RegionProbe> {
    const answer = await measure(r.target, timeoutMs)
    const { jitterMs, lossRatio, errorRatio } = r.history.add(answer)
    return {
      event_time_ms: clock.nowMs(),
      origin,
      region: r.region,
      up: answer !== null,
      rtt_ms: answer?.rttMs ?? timeoutMs,
      jitter_ms: jitterMs,
      loss_ratio: lossRatio,
      error_ratio: errorRatio,
      bytes_per_second: answer?.load.bytes_per_second ?? 0,
      capacity_bytes_per_second: answer?.load.capacity_bytes_per_second ?? r.capacityBytesPerSecond ?? 0,
      price_per_gb: answer?.load.price_per_gb ?? r.pricePerGb ?? 0,
    }
  }

  const probe = (): Promise<RegionProbe[]> => Promise.all(regions.map(probeOne))

  async function* watch(signal: AbortSignal): AsyncGenerator<RegionProbe> {
    let dueMs = performance.now()
    while (!signal.aborted) {
      yield* await probe()
      dueMs = Math.max(dueMs + intervalMs, performance.now())
      await delay(dueMs - performance.now(), undefined, { signal }).catch(() => undefined)
    }
  }

  return { probe, watch, close: () => measure.close() }
}

function targetOf({ region, url }: ProbedRegion): URL {
  const target = URL.canParse(url) ? new URL(url) : null
  const known = target !== null && ['http:', 'https:', 'tcp:'].includes(target.protocol)
  if (known && (target.protocol !== 'tcp:' || target.port !== '')) return target
  throw new ForestallError(
    'CONFIG_INVALID',
    `Region ${region}: ${url} is not http://, https:// or tcp://host:port.`,
  )
}
