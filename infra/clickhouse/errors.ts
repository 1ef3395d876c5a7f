import { ClickHouseError } from '@clickhouse/client'
import { ForestallError } from '#core/ports'

/** Codes of states that pass: overload, timeouts, a full disk, connections between replicas, stops. */
const TRANSIENT = new Set([
  75, 159, 160, 173, 201, 202, 203, 209, 210, 225, 236, 241, 242, 243, 252, 279, 285, 286, 319, 394, 425, 439,
  473, 745, 999,
])
/** A query that took too long or too much is likely to do so again. */
const SPENT = new Set(['159', '160', '241', '394'])
const CREDENTIALS = new Set([192, 193, 194, 497, 516])
/** The request has not reached the server: it can be sent again, whatever it says. */
const NOT_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

/**
 * An error of the client as WAREHOUSE_UNAVAILABLE (may pass) or WAREHOUSE_REJECTED (will not). `host` names
 * the server; credentials of its URL must not be in it.
 */
export function toForestallError(error: unknown, host: string): ForestallError {
  if (error instanceof ForestallError) return error
  const message = error instanceof Error ? error.message.trim() : String(error)
  if (!(error instanceof ClickHouseError)) {
    const code = systemCode(error)
    const detail = code === '' ? message : code
    return new ForestallError('WAREHOUSE_UNAVAILABLE', `ClickHouse at ${host}: ${detail}`, { cause: error })
  }
  const code = Number(error.code)
  const kind = TRANSIENT.has(code) ? 'WAREHOUSE_UNAVAILABLE' : 'WAREHOUSE_REJECTED'
  const text = `ClickHouse at ${host}: ${error.type ?? 'error'} (${error.code}): ${message}`
  const cure = CREDENTIALS.has(code) ? { cure: 'Check CLICKHOUSE_USER and CLICKHOUSE_PASSWORD.' } : {}
  return new ForestallError(kind, text, { cause: error, ...cure })
}

/** True if the server has certainly not begun with the request. */
export const notBegun = (error: unknown): boolean =>
  error instanceof ClickHouseError ? ['202', '439'].includes(error.code) : NOT_SENT.has(systemCode(error))

/** True if a query should not be tried again at once, although the failure may pass. */
export const isSpent = (error: unknown): boolean => error instanceof ClickHouseError && SPENT.has(error.code)

function systemCode(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' ? code : ''
}
