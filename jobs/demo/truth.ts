import type { ErrorCode } from '#core/ports'
import { WindowAccount } from './window-account.ts'

/** What was written to one input topic and acknowledged by Kafka. */
export interface TopicTruth {
  /** Records, valid or not; end marks are not records. */
  records: number
  /** Valid records that a topology must leave out. */
  skipped: number
  /** Records that must become dead letters, by code of the error catalogue. */
  bad: Partial<Record<ErrorCode, number>>
  /** Records of which it is not known whether Kafka has them: the producer failed before they were acknowledged. */
  unknown: number
}

/** What a producer knows of what it wrote: the side of the account that owes nothing to the pipeline. */
export interface Truth {
  /** Valid flows, by stream and window. */
  readonly streams: WindowAccount
  /** Valid probes, by region and window; bytes are 0. */
  readonly regions: WindowAccount
  readonly flows: TopicTruth
  readonly probes: TopicTruth
}

const newTopic = (): TopicTruth => ({ records: 0, skipped: 0, bad: {}, unknown: 0 })

/** An empty account. `regionWindowMs`: length of the windows of regions, by default that of the streams. */
export const createTruth = (windowMs: number, regionWindowMs = windowMs): Truth => ({
  streams: new WindowAccount(windowMs),
  regions: new WindowAccount(regionWindowMs),
  flows: newTopic(),
  probes: newTopic(),
})

/** A stream from a place to itself (`a>a`): telemetry has such rows, nothing is to be routed. */
export function isSelfPair(stream: string): boolean {
  const at = stream.indexOf('>')
  return at >= 0 && stream.slice(0, at) === stream.slice(at + 1)
}

/** Adds what one topic has to another's account. */
export function mergeTopic(into: TopicTruth, more: TopicTruth): void {
  into.records += more.records
  into.skipped += more.skipped
  into.unknown += more.unknown
  for (const [code, count] of Object.entries(more.bad)) {
    into.bad[code as ErrorCode] = (into.bad[code as ErrorCode] ?? 0) + count
  }
}
