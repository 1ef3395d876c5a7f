import { Buffer } from 'node:buffer'
import { type DeadLetter, deadLetterTopic } from '../../../schemas/index.ts'
import type { ErrorCode, RecordCursor } from '../ports/index.ts'
import type { TaskContext } from './task.ts'

/** A letter must fit the message size that brokers allow by default (1 MiB), whatever the topic of the record allowed. */
const MOST_KEPT_BYTES = 700_000

/** Name of the dead-letter topic of a topic. */
export const deadLetterName = (topic: string): string => deadLetterTopic(topic).name

/** Why a record cannot be used. */
export interface Refusal {
  readonly code: ErrorCode
  readonly reason: string
}

/** Topic of the record (name in the topology), and the topic whose dead letters take it: the same unless it is internal. */
export interface LetterOrigin {
  readonly topic: string
  readonly letters?: string
}

/** Sends the cursor's record to the dead letters of its topic, with its original bytes (cut to `maxBytes`). */
export function emitDeadLetter(
  context: TaskContext,
  topology: string,
  from: LetterOrigin,
  cursor: RecordCursor,
  refusal: Refusal,
  maxBytes: number,
): void {
  const { buffer, keyStart, keyLength, valueStart, valueLength } = cursor
  const { topic, letters = topic } = from
  const letter: DeadLetter = {
    topic,
    partition: cursor.partition,
    offset: cursor.offset,
    timestamp_ms: cursor.timestampMs,
    key: keyLength < 0 ? null : Buffer.from(buffer.subarray(keyStart, keyStart + keyLength)),
    value:
      valueLength < 0
        ? null
        : Buffer.from(
            buffer.subarray(valueStart, valueStart + Math.min(valueLength, maxBytes, MOST_KEPT_BYTES)),
          ),
    reason_code: refusal.code,
    reason: refusal.reason,
    topology,
    at_ms: context.clock.nowMs(),
  }
  const to = deadLetterName(letters)
  const key = Buffer.from(`${cursor.partition}:${cursor.offset}`)
  context.out.emit(
    context.topicName(to),
    0,
    cursor.timestampMs,
    key,
    context.encoder.encode(to, 'DeadLetter', letter),
  )
}
