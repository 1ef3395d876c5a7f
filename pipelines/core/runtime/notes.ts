import { ForestallError } from '../ports/index.ts'
import { END_OF_INPUT_MS } from './marks.ts'

/**
 * What a task notes beside its committed offset (the metadata of the offset commit), and all that recovery needs:
 * the watermark it had, where the replay must begin, and what it knew of its origins.
 */
export interface CommitNote {
  /** Windows (or rounds) ending at or before this have been emitted. */
  closedThroughMs: number
  /** Largest event time seen (source tasks), -Infinity if none. */
  eventTimeMs: number
  /** Smallest offset that contributes to what is still open; the committed offset if nothing is. */
  replayFrom: number
  /** Watermark of each origin in the declared order; empty for source tasks. */
  origins: readonly number[]
  /** Which origins were idle, in the same order. */
  idle: readonly boolean[]
  /**
   * What time it was at `replayFrom`: for nodes whose replay goes through the same times again (sessions). For a merge of
   * sessions `origins` and `idle` are those of then, too. Absent: as at the commit.
   */
  replayMs?: number
}

const VERSION = '2'
/** Kafka's default of `offset.metadata.max.bytes`. */
const MOST_CHARACTERS = 4096
const END = '$'
const IDLE = '!'

/** Base 36; `baseMs` is taken away from what is finite. */
function encodeTime(ms: number, baseMs = 0): string {
  if (ms >= END_OF_INPUT_MS) return END
  return Number.isFinite(ms) ? (ms - baseMs).toString(36) : '-'
}

/** parseInt loses nothing below 2^53; negative times (before 1970) keep their sign. */
function decodeTime(text: string, baseMs = 0): number {
  if (text === END) return END_OF_INPUT_MS
  return text === '-' ? Number.NEGATIVE_INFINITY : Number.parseInt(text, 36) + baseMs
}

const isBetween = (ms: number) => Number.isFinite(ms) && ms < END_OF_INPUT_MS

/**
 * A note as text. Watermarks of origins are told as distances from the smallest of them: 500 origins that lie within
 * half an hour of each other fit into Kafka's 4,096 characters. Throws TOPOLOGY_INVALID beyond: the broker would
 * refuse every commit.
 */
export function encodeNote(note: CommitNote): string {
  const baseMs = note.origins.filter(isBetween).reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY)
  const origins = note.origins.map((w, i) => encodeTime(w, baseMs) + (note.idle[i] ? IDLE : ''))
  const text = [
    VERSION,
    encodeTime(note.closedThroughMs),
    encodeTime(note.eventTimeMs),
    note.replayFrom.toString(36),
    encodeTime(Number.isFinite(baseMs) ? baseMs : 0),
    origins.join(','),
    ...(note.replayMs === undefined ? [] : [encodeTime(note.replayMs)]),
  ].join(';')
  if (text.length <= MOST_CHARACTERS) return text
  throw new ForestallError(
    'TOPOLOGY_INVALID',
    `a commit note of ${note.origins.length} origins takes ${text.length} of ${MOST_CHARACTERS} characters`,
    { cure: 'Use fewer partitions for the topics that this node waits for.' },
  )
}

/** Reads a note back; undefined for '' and for text of another program. */
export function decodeNote(text: string): CommitNote | undefined {
  const [version, closed, event, replayFrom, base, origins, replay] = text.split(';')
  if (version !== VERSION || closed === undefined || event === undefined || replayFrom === undefined)
    return undefined
  const baseMs = decodeTime(base ?? '0')
  const list = origins ? origins.split(',') : []
  return {
    closedThroughMs: decodeTime(closed),
    eventTimeMs: decodeTime(event),
    replayFrom: Number.parseInt(replayFrom, 36),
    origins: list.map((w) => decodeTime(w.replace(IDLE, ''), baseMs)),
    idle: list.map((w) => w.endsWith(IDLE)),
    ...(replay === undefined ? {} : { replayMs: decodeTime(replay) }),
  }
}
