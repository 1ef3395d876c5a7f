import type { Warehouse } from '#core/ports'
import { BOUNDED, ms } from './bounds.ts'

/** The last window of a region, as its probes saw it. */
export interface RegionRow {
  readonly region: string
  readonly atMs: number
  readonly upRatio: number
  readonly rttMs: number
  readonly rttP95Ms: number
  readonly lossRatio: number
  readonly bytesPerSecond: number
  /** 0: unknown. */
  readonly capacityBytesPerSecond: number
}

const RECENT_HOURS = 6

/** The answer of `/api/regions`. */
export async function listRegions(warehouse: Warehouse, limit: number) {
  const regions = await warehouse.query<RegionRow>(
    `SELECT region, ${ms('window_end_ms')} AS atMs, up_ratio AS upRatio, rtt_ms_mean AS rttMs,
      rtt_ms_p95 AS rttP95Ms, loss_ratio_mean AS lossRatio, bytes_per_second_mean AS bytesPerSecond,
      capacity_bytes_per_second_min AS capacityBytesPerSecond
    FROM features_regions FINAL
    WHERE window_start_ms >= (SELECT max(window_start_ms) FROM features_regions) - toIntervalHour({hours:UInt8})
    ORDER BY window_end_ms DESC, window_start_ms DESC
    LIMIT 1 BY region LIMIT {limit:UInt32} ${BOUNDED}`,
    { limit, hours: RECENT_HOURS },
  )
  return { regions: regions.toSorted((a, b) => a.region.localeCompare(b.region)) }
}
