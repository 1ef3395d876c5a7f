import type { Warehouse } from '#core/ports'
import { BOUNDED, ms } from './bounds.ts'

/** A record that could not be used; its bytes stay in ClickHouse. */
export interface DeadLetterRow {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly code: string
  readonly reason: string
  readonly topology: string
  readonly atMs: number
}

/** The answer of `/api/dead-letters`: how many there are per topic and code, and the newest. */
export async function listDeadLetters(warehouse: Warehouse, limit: number) {
  const [counts, deadLetters] = await Promise.all([
    warehouse.query<{ topic: string; code: string; count: number }>(
      `SELECT topic, reason_code AS code, count() AS count FROM dead_letters FINAL
      GROUP BY topic, code ORDER BY count DESC LIMIT {limit:UInt32} ${BOUNDED}`,
      { limit },
    ),
    warehouse.query<DeadLetterRow>(
      `SELECT topic, partition, offset, reason_code AS code, left(reason, 300) AS reason, topology,
        ${ms('at_ms')} AS atMs
      FROM dead_letters FINAL ORDER BY at_ms DESC LIMIT {limit:UInt32} ${BOUNDED}`,
      { limit },
    ),
  ])
  return { counts, deadLetters }
}
