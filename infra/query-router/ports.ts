import type { Readable } from 'node:stream'
import type { AppliedPositions, OnePlan } from '#core/ports'

/** A statement that one instance has answered, or failed to. */
export interface AnsweredQuery {
  readonly plan: OnePlan
  /** Number of the instance. */
  readonly instance: number
  /** From the first attempt to the end of the answer, ms. */
  readonly elapsedMs: number
  /** Answered with an error, or not to the end. */
  readonly failed: boolean
}

/** What sessions have written, and which replicas have it. */
export interface Freshness extends AppliedPositions {
  /** Throws an Error with a sentence for what is no token. */
  decode(tokens: string): ReadonlyMap<number, number>
  encode(positions: ReadonlyMap<number, number>): string
}

/** The body of a request: what has been read of it, and what comes. */
export interface RequestBody {
  readonly head: Buffer
  /** Null if `head` is all. */
  readonly rest: Readable | null
}
