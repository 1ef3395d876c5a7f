import { setTimeout as sleep } from 'node:timers/promises'
import { findErrorBy, ProtocolError, TimeoutError } from '@platformatic/kafka'

const asError = (e: unknown): Error => (e instanceof Error ? e : new Error(String(e)))

/** True if `e`, or an error inside it, is a Kafka error with one of these names (`NOT_COORDINATOR`, …). */
export const hasApiError = (e: unknown, ...names: readonly string[]): boolean =>
  names.some((name) => findErrorBy(asError(e), 'apiId', name) !== null)

/** True if the connection was lost, refused or silent: the request may or may not have been carried out. */
export const isNetworkError = (e: unknown): boolean =>
  findErrorBy(asError(e), 'code', 'PLT_KFK_NETWORK') !== null

/** True if a request was not answered in time, or a connection not taken. */
export function isUnanswered(e: unknown): boolean {
  if (e instanceof TimeoutError) return true
  if (e instanceof AggregateError && e.errors.some(isUnanswered)) return true
  return e instanceof Error && e.cause !== undefined && isUnanswered(e.cause)
}

/** True if the same request can succeed later: a library error of which no part forbids repetition. */
export function isTransient(e: unknown): boolean {
  const error = asError(e)
  const fromLibrary =
    isNetworkError(error) ||
    findErrorBy(error, 'code', 'PLT_KFK_PROTOCOL') !== null ||
    findErrorBy(error, 'code', 'PLT_KFK_MULTIPLE') !== null
  return fromLibrary && findErrorBy(error, 'canRetry', false) === null
}

/** The member id that came with MEMBER_ID_REQUIRED; '' if none did. */
export function memberIdOf(e: unknown): string {
  const found = findErrorBy(asError(e), 'code', 'PLT_KFK_RESPONSE')
  const answer: unknown = found !== null && 'response' in found ? found['response'] : undefined
  return (answer as { memberId?: string } | undefined)?.memberId ?? ''
}

/** The library's error for an error code found in a response that we parse ourselves. */
export const protocolError = (code: number, detail: string): ProtocolError => new ProtocolError(code, detail)

/** When and how often `retry` repeats. */
export interface RetryPolicy {
  /** Gives up this long after the first attempt, ms, with the last error. */
  readonly forMs: number
  /** First delay, ms (default 50), doubling up to `maxDelayMs` (default 1,000). */
  readonly delayMs?: number
  readonly maxDelayMs?: number
  /** Which errors are worth another attempt. Default `isTransient`. */
  readonly when?: (error: unknown) => boolean
  /** Called before each wait: forget cached coordinators and leaders here. */
  readonly onRetry?: (error: unknown) => void
  /** Checked after each wait: true gives up at once, with the last error. */
  readonly stop?: () => boolean
}

/** Repeats `operation` while its errors are transient, with exponential delays. Throws the last error. */
export async function retry<T>(operation: () => Promise<T>, policy: RetryPolicy): Promise<T> {
  const { forMs, maxDelayMs = 1000, when = isTransient, onRetry, stop } = policy
  const startedAt = performance.now()
  let delayMs = policy.delayMs ?? 50
  for (;;) {
    try {
      return await operation()
    } catch (error) {
      if (!when(error) || performance.now() - startedAt > forMs) throw error
      onRetry?.(error)
      await sleep(delayMs)
      if (stop?.() === true) throw error
      delayMs = Math.min(delayMs * 2, maxDelayMs)
    }
  }
}
