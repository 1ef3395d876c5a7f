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
}

const VERSION = '1'
const time = (ms: number) => (Number.isFinite(ms) ? ms.toString(36) : ms > 0 ? '+' : '-')
const parseTime = (text: string) => (text === '+' ? Infinity : text === '-' ? -Infinity : parse36(text))

/** parseInt loses nothing below 2^53; negative times (before 1970) keep their sign. */
const parse36 = (text: string) => Number.parseInt(text, 36)

/** A note as text: base 36, so that 64 origins stay far below Kafka's 4,096 characters. */
export function encodeNote(note: CommitNote): string {
  const origins = note.origins.map((w, i) => time(w) + (note.idle[i] ? '!' : '')).join(',')
  return [
    VERSION,
    time(note.closedThroughMs),
    time(note.eventTimeMs),
    note.replayFrom.toString(36),
    origins,
  ].join(';')
}

/** Reads a note back; undefined for '' and for text of another program. */
export function decodeNote(text: string): CommitNote | undefined {
  const [version, closed, event, replayFrom, origins] = text.split(';')
  if (version !== VERSION || closed === undefined || event === undefined || replayFrom === undefined)
    return undefined
  const list = origins ? origins.split(',') : []
  return {
    closedThroughMs: parseTime(closed),
    eventTimeMs: parseTime(event),
    replayFrom: parse36(replayFrom),
    origins: list.map((w) => parseTime(w.replace('!', ''))),
    idle: list.map((w) => w.endsWith('!')),
  }
}
