import type { Warehouse } from '#core/ports'
import { BOUNDED, ms } from './bounds.ts'

/**
 * Event time of the newest row: what "now" means on the page, so that a replay of the past is shown as well.
 * 0 if there is none. Cheap: the maxima of the partition key are kept per part.
 */
export async function newestMs(
  warehouse: Warehouse,
  table: 'features_streams' | 'forecasts_traffic' | 'risks_traffic' | 'decisions',
): Promise<number> {
  const column = {
    features_streams: 'window_start_ms',
    forecasts_traffic: 'issued_at_ms',
    risks_traffic: 'issued_at_ms',
    decisions: 'kafka_timestamp_ms',
  }[table]
  const rows = await warehouse.query<{ at: number }>(
    `SELECT ${ms(`max(${column})`)} AS at FROM ${table} ${BOUNDED}`,
  )
  return rows[0]?.at ?? 0
}
