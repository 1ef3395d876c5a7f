import type { RegionFeature, StreamFeature } from '#schemas'
import type { Series } from '#core/subsystem'
import type { TrafficConfig } from './config.ts'

/** Series of a stream, in bytes per second. */
export const DEMAND = 'bytes_per_second'
/** Series of a region. */
export const RTT = 'rtt_ms'
/** Series of a region: what it can serve of what it announces, bytes per second. */
export const CAPACITY = 'usable_bytes_per_second'

/** What a region can serve of what it announces: probes unanswered, lost or failed take their share away. */
export const usableCapacity = (row: RegionFeature): number =>
  row.capacity_bytes_per_second_min * row.up_ratio * (1 - row.loss_ratio_mean) * (1 - row.error_ratio_mean)

/** 70 % of the smallest link of the default path, unless the operator has said otherwise. */
function streamLimits(config: TrafficConfig): Map<string, number> {
  const { network } = config
  return new Map(
    network.pairNames.map((stream, pair) => {
      const path = network.firstPath[pair] as number
      let smallest = Number.POSITIVE_INFINITY
      for (let i = network.pathStart[path] as number; i < (network.pathStart[path + 1] as number); i++) {
        smallest = Math.min(smallest, network.capacity[network.pathLinks[i] as number] as number)
      }
      return [stream, config.streamLimits[stream] ?? 0.7 * smallest]
    }),
  )
}

/** The series of a StreamFeature. */
export function streamSeries(config: TrafficConfig): (row: unknown) => Series[] {
  const limits = streamLimits(config)
  return (row) => {
    const { stream, bytes_per_second: value } = row as StreamFeature
    const limit = limits.get(stream)
    return [
      {
        entity: stream,
        metric: DEMAND,
        value,
        side: 'above',
        unit: 'B/s',
        ...(limit === undefined ? {} : { limit }),
      },
    ]
  }
}

/** The series of a RegionFeature. */
export function regionSeries(config: TrafficConfig): (row: unknown) => Series[] {
  return (given) => {
    const row = given as RegionFeature
    const rtt: Series = {
      entity: row.region,
      metric: RTT,
      value: row.rtt_ms_mean,
      side: 'above',
      unit: 'ms',
      limit: config.regionRttLimitMs,
    }
    const usable: Series = {
      entity: row.region,
      metric: CAPACITY,
      value: usableCapacity(row),
      side: 'below',
      unit: 'B/s',
    }
    return [...(row.up_ratio > 0 ? [rtt] : []), ...(row.capacity_bytes_per_second_min > 0 ? [usable] : [])]
  }
}
