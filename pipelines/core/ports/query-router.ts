/** How the text of a key is brought into the one form that is hashed. */
export type KeyType = 'string' | 'integer' | 'uuid' | 'date'

/** A sharded table: its rows lie in the segment of their key. */
export interface TableRule {
  readonly database: string
  readonly table: string
  /** Column of the shard key. */
  readonly keyColumn: string
  readonly keyType: KeyType
}

/** A request as far as its plan depends on it. */
export interface PlannedRequest {
  readonly sql: string
  /** Database for tables that name none. */
  readonly database: string
  readonly params: ReadonlyMap<string, string>
  /** Keys that the client named beside the statement (header, URL or log_comment); null if none. */
  readonly keys: readonly string[] | null
  /** Whether an operator has asked to send a change to every instance. */
  readonly sendsChanges: boolean
}

/** A read or statement for one instance out of several; instances are numbers. */
export interface OnePlan {
  readonly kind: 'one'
  /** Those that can answer it. */
  readonly candidates: readonly number[]
  /** Shares that the forecast would give them; empty if it says nothing. */
  readonly weights: readonly number[]
  /** Segments that it reads; what a session has written to them must be seen. */
  readonly segments: readonly number[]
  /** The shard keys that it asks for. */
  readonly keys: readonly string[]
  /** Condition per table that hides rows of other keys, as in `PlanPart`; '' if the statement itself does. */
  readonly filters: string
  /** Reads only: may be sent twice. */
  readonly isRead: boolean
  /** Whether it must be kept from changing the instance. */
  readonly isGuarded: boolean
  /** Names statements of the same form. */
  readonly operation: string
}

/** A part of a read that several instances answer together. */
export interface PlanPart {
  readonly instance: number
  readonly segments: readonly number[]
  /** Condition per table that keeps what is read to the segments: a value of the database's setting for it. */
  readonly filters: string
}

/** The head of an INSERT whose rows follow in a format. */
export interface InsertHead {
  /** Span of the table's name in the text. */
  readonly nameSpan: readonly [from: number, to: number]
  readonly format: string
  /** Where the rows begin in the text; its length if none are in it. */
  readonly dataAt: number
  /** False if the text was cut before the head ended. */
  readonly isWhole: boolean
  /** What its SETTINGS say. */
  readonly settings: readonly InsertSetting[]
}

/** A setting that a statement names itself. */
export interface InsertSetting {
  readonly name: string
  readonly value: string
  /** Span of the value in the text. */
  readonly span: readonly [from: number, to: number]
}

/** An INSERT of rows into a sharded table. */
export interface InsertPlan {
  readonly kind: 'insert'
  readonly rule: TableRule
  readonly statement: InsertHead
  /** Instances that can parse the rows. */
  readonly candidates: readonly number[]
}

/** A refusal, in the form of the database's exceptions. */
export interface RefusePlan {
  readonly kind: 'refuse'
  readonly code: number
  readonly name: string
  readonly message: string
}

/** What to do with a request. */
export type QueryPlan =
  | OnePlan
  /** `format`: as the statement names it; '' if it names none. */
  | { readonly kind: 'parts'; readonly parts: readonly PlanPart[]; readonly format: string }
  | InsertPlan
  /** Every instance, through the log. */
  | { readonly kind: 'change'; readonly verb: string }
  /** Every instance at once, past the log. */
  | { readonly kind: 'broadcast' }
  | RefusePlan

/** Chooses among instances by what they have to do. Work is in expected ms. */
export interface Picker {
  /**
   * One of `candidates` (numbers of instances), or -1 if there is none. `weights` are shares that the forecast would
   * give them, used where the load says nothing. `avoid`: not this one, if another will do.
   */
  pick(
    candidates: readonly number[],
    work: number,
    nowMs: number,
    weights?: readonly number[],
    avoid?: number,
  ): number
  begin(instance: number, work: number, nowMs: number): void
  /** The answer begins, or nobody waits for it any more (`counts` false: says nothing about the speed). */
  answered(instance: number, work: number, startedMs: number, nowMs: number, counts: boolean): void
  /** The answer has ended: called once after `answered`. */
  end(instance: number, work: number): void
  /** It refused a connection or broke one: left alone until a probe succeeds. */
  down(instance: number, nowMs: number): void
  /** Instances that are due for a probe; each is named once per probe. */
  probesDue(nowMs: number): number[]
  /** Whether it is left alone until a probe succeeds. */
  isOut(instance: number): boolean
  /** How a probe ended, ms; null: no answer. */
  probed(instance: number, elapsedMs: number | null, nowMs: number): void
}

/** Expects how long queries take, by their form, ms. */
export interface ExpectedWork {
  /** What a query of this form took of late on a sound instance, ms. */
  of(operation: string): number
  note(operation: string, elapsedMs: number): void
}

/** Says when a second request is sent for one that has not been answered. */
export interface HedgeBudget {
  /** How long to wait before the second request, ms. */
  delayMs(expectedMs: number): number
  /** Takes one second request out of the budget; false if there is none left. */
  take(): boolean
  note(expectedMs: number, elapsedMs: number): void
}
