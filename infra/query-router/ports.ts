import type { Readable } from 'node:stream'
import type { AppliedPositions } from '#core/ports'

/** A request as far as its plan depends on it. */
export interface PlannedRequest {
  readonly sql: string
  /** Database for tables that name none. */
  readonly database: string
  readonly params: ReadonlyMap<string, string>
  /** Shard keys that the client named beside the statement; null if none. */
  readonly keys: readonly string[] | null
  /** Whether an operator has asked to send a change to every instance. */
  readonly sendsChanges: boolean
}

/** A read or statement for one of several instances, by number. */
export interface OnePlan {
  readonly kind: 'one'
  readonly candidates: readonly number[]
  readonly weights: readonly number[]
  readonly segments: readonly number[]
  /** The shard keys that it asks for; none where it names none. */
  readonly keys?: readonly string[]
  /** May be sent twice. */
  readonly isRead: boolean
  /** Must be kept from changing the instance. */
  readonly isGuarded: boolean
  readonly operation: string
}

/** An INSERT of rows into a sharded table. */
export interface InsertPlan {
  readonly kind: 'insert'
  readonly rule: {
    readonly database: string
    readonly table: string
    readonly keyColumn: string
    readonly keyType: string
  }
  readonly statement: {
    /** Span of the table's name in the statement. */
    readonly nameSpan: readonly [from: number, to: number]
    readonly format: string
    /** Where the rows begin in the statement. */
    readonly dataAt: number
    /** False if the text was cut before its head ended. */
    readonly isWhole: boolean
  }
  readonly candidates: readonly number[]
}

/** What to do with a request. */
export type Plan =
  | OnePlan
  | InsertPlan
  | {
      readonly kind: 'parts'
      readonly parts: readonly {
        readonly instance: number
        readonly segments: readonly number[]
        readonly filters: string
      }[]
    }
  | { readonly kind: 'change'; readonly verb: string }
  | { readonly kind: 'broadcast' }
  | { readonly kind: 'refuse'; readonly code: number; readonly name: string; readonly message: string }

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

/** Chooses among instances by what they have to do. */
export interface Picker {
  pick(
    candidates: readonly number[],
    work: number,
    nowMs: number,
    weights?: readonly number[],
    avoid?: number,
  ): number
  begin(instance: number, work: number, nowMs: number): void
  answered(instance: number, work: number, startedMs: number, nowMs: number, counts: boolean): void
  end(instance: number, work: number): void
  down(instance: number, nowMs: number): void
  probesDue(nowMs: number): number[]
  /** Whether it is left alone until a probe succeeds. */
  isOut(instance: number): boolean
  probed(instance: number, elapsedMs: number | null, nowMs: number): void
}

/** Expects how long statements take, by their form, ms. */
export interface WorkExpectation {
  of(operation: string): number
  note(operation: string, elapsedMs: number): void
}

/** When a read is sent a second time. */
export interface Hedging {
  delayMs(expectedMs: number): number
  take(): boolean
  note(expectedMs: number, elapsedMs: number): void
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
