import type { Refusal } from './dead-letter.ts'
import type { SourceSpec } from './topology.ts'

/** What a reader says of bytes that it cannot read. */
export const unreadable = (reason: string): Refusal => ({
  code: reason.startsWith('schema') ? 'RECORD_SCHEMA_UNKNOWN' : 'RECORD_UNDECODABLE',
  reason,
})

/** A record of so many bytes is not read. */
export const tooLarge = (bytes: number, { maxRecordBytes }: SourceSpec): Refusal => ({
  code: 'RECORD_TOO_LARGE',
  reason: `${bytes} bytes, more than maxRecordBytes ${maxRecordBytes}`,
})

/** A record from the future would move time for all others. */
export const tooFarAhead = (
  timeMs: number,
  timestampMs: number,
  { eventTime, maxAheadMs }: SourceSpec,
): Refusal => ({
  code: 'RECORD_TIME_INVALID',
  reason: `${eventTime} ${timeMs} is ${timeMs - timestampMs} ms ahead of the Kafka timestamp (at most ${maxAheadMs})`,
})

/** A record from before the earliest time allowed; also one whose time is no number. */
export const tooEarly = (timeMs: number, { eventTime, earliestMs }: SourceSpec): Refusal => ({
  code: 'RECORD_TIME_INVALID',
  reason: `${eventTime} ${timeMs} is before ${earliestMs}, the earliest time allowed`,
})
