import { Buffer } from 'node:buffer'
import type { Header, RecordCursor } from '../ports/index.ts'

/** Header under which progress marks travel: records with neither key nor value. */
export const MARK_HEADER = 'forestall.mark'

/** Watermark of a bounded input that has ended: later than any event. */
export const END_OF_INPUT_MS = 8.64e15

/**
 * A progress mark: `origin` (a task, `node/partition`) has written everything that belongs before `watermarkMs`.
 * An idle origin does not hold others up until it speaks again.
 */
export interface Mark {
  origin: string
  watermarkMs: number
  idle: boolean
}

/** The headers of a mark. */
export const markHeaders = (mark: Mark): readonly Header[] => [
  [MARK_HEADER, Buffer.from(`${mark.origin} ${mark.watermarkMs} ${mark.idle ? 1 : 0}`)],
]

/** The mark of the cursor's record, or undefined if it is an ordinary record. */
export function readMark(cursor: RecordCursor): Mark | undefined {
  if (cursor.keyLength >= 0 || cursor.valueLength >= 0) return undefined
  const text = readHeader(cursor, MARK_HEADER)
  if (text === undefined) return undefined
  const [origin, watermark, idle] = text.split(' ')
  if (origin === undefined || watermark === undefined) return undefined
  return { origin, watermarkMs: Number(watermark), idle: idle === '1' }
}

/** The value of a header of the cursor's record as text. */
export function readHeader(cursor: RecordCursor, name: string): string | undefined {
  const { buffer, recordEnd } = cursor
  let at = cursor.headersStart
  const zigzag = () => {
    let value = 0
    let shift = 0
    for (;;) {
      const byte = buffer[at++] as number
      value |= (byte & 127) << shift
      if (byte < 128 || at >= recordEnd) return (value >>> 1) ^ -(value & 1)
      shift += 7
    }
  }
  if (at >= recordEnd) return undefined
  for (let left = zigzag(); left > 0 && at < recordEnd; left--) {
    const keyLength = zigzag()
    const key = buffer.toString('utf8', at, at + keyLength)
    at += keyLength
    const valueLength = Math.max(0, zigzag())
    if (key === name) return buffer.toString('utf8', at, at + valueLength)
    at += valueLength
  }
  return undefined
}

/** Progress of a fixed set of origins: the watermark of a task that waits for all of them. */
export class OriginProgress {
  readonly #index: Map<string, number>
  readonly watermarks: Float64Array
  readonly idle: Uint8Array

  constructor(origins: readonly string[]) {
    this.#index = new Map(origins.map((origin, i) => [origin, i]))
    this.watermarks = new Float64Array(origins.length).fill(Number.NEGATIVE_INFINITY)
    this.idle = new Uint8Array(origins.length)
  }

  /** Takes a mark in; a watermark never falls. False if the origin is not one of ours. */
  update(mark: Mark): boolean {
    const i = this.#index.get(mark.origin)
    if (i === undefined) return false
    if (mark.watermarkMs > (this.watermarks[i] as number)) this.watermarks[i] = mark.watermarkMs
    this.idle[i] = mark.idle ? 1 : 0
    return true
  }

  /** What a commit note keeps of it. */
  told(): { origins: number[]; idle: boolean[] } {
    return { origins: [...this.watermarks], idle: Array.from(this.idle, (flag) => flag === 1) }
  }

  /** Takes over what a commit note knew, in the same order; origins that are new since then have not spoken. */
  restore(note: { readonly origins: readonly number[]; readonly idle: readonly boolean[] }): void {
    for (let i = 0; i < Math.min(note.origins.length, this.watermarks.length); i++) {
      this.watermarks[i] = note.origins[i] as number
      this.idle[i] = note.idle[i] ? 1 : 0
    }
  }

  /** The largest watermark: nobody has written anything that belongs behind it. */
  aheadMs(): number {
    return this.watermarks.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY)
  }

  /** True if no origin speaks: then this input holds nobody up. */
  get allIdle(): boolean {
    return this.idle.every((flag) => flag === 1)
  }

  /** The smallest watermark of those that are not idle; if all are idle, the largest of all. */
  watermarkMs(): number {
    let smallest = Number.POSITIVE_INFINITY
    let largest = Number.NEGATIVE_INFINITY
    for (let i = 0; i < this.watermarks.length; i++) {
      const w = this.watermarks[i] as number
      if (w > largest) largest = w
      if (this.idle[i] === 0 && w < smallest) smallest = w
    }
    return smallest === Number.POSITIVE_INFINITY ? largest : smallest
  }
}
