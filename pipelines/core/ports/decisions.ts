import type { Ack, DecisionInput, DecisionMode, DecisionReason } from '#schemas'
import { ForestallError, isError } from './errors.ts'

/** What every decision record carries; see the field docs of the schemas. */
export interface DecisionEnvelope {
  decision_id: string
  subsystem: string
  entity: string
  epoch: number
  issued_at_ms: number
  not_before_ms: number
  /** Null: stands until superseded (placement). */
  expires_at_ms: number | null
  mode: DecisionMode
  canary_share: number
  replay_id: string
  reason: DecisionReason
  inputs: DecisionInput[]
  model_version: string
  policy_version: string
  supersedes: string | null
}

/** A decision of any subsystem: the envelope and a body of its own. `RouteDecision` is a `Decision<RouteBody>`. */
export interface Decision<Body> extends DecisionEnvelope {
  body: Body
}

/**
 * Reads a decision from the value of a record (Confluent wire format). Throws RECORD_UNDECODABLE, RECORD_INVALID or
 * RECORD_SCHEMA_UNKNOWN for a record that nobody will ever read; anything else counts as passing (a registry that is
 * away) and the record is read again.
 */
export type DecodeDecision<Body> = (value: Buffer) => Decision<Body> | Promise<Decision<Body>>

/** The error that a source reports for a skipped record, with where it lies; throws `cause` again if it may pass. */
export function skippedRecord(cause: unknown, where: string): ForestallError {
  const isFinal =
    isError(cause, 'RECORD_UNDECODABLE') ||
    isError(cause, 'RECORD_INVALID') ||
    isError(cause, 'RECORD_SCHEMA_UNKNOWN')
  if (!isFinal) throw cause
  return new ForestallError(cause.code, `Decision in ${where}: ${cause.message}`, { cause })
}

/** One record of a decision topic. */
export interface DecisionEvent<Body> {
  entity: string
  /** Null: a tombstone, back to the default. */
  decision: Decision<Body> | null
  partition: number
  offset: number
  /** Kafka timestamp of the record, ms. */
  timestampMs: number
}

/** What a source calls; calls are awaited one after another, in offset order within a partition. */
export interface DecisionSourceHandler<Body> {
  onDecision(event: DecisionEvent<Body>): Promise<void> | void
  /**
   * Once, when everything that stood in the topic at the start has been handed out.
   * `nextOffsets`: the next offset to read, by partition.
   */
  onCaughtUp(nextOffsets: ReadonlyMap<number, number>): Promise<void> | void
  /** A record that cannot be read (it is skipped), or Kafka that cannot be reached (the source tries again). */
  onError(error: Error): void
}

/** A decision topic from its beginning, then live, committed records only. */
export interface DecisionSource<Body> {
  readonly topic: string
  /** Begins in the background: it does not fail when Kafka is away, it tries again. Once per source. */
  start(handler: DecisionSourceHandler<Body>): void
  /** Ends reading and closes what the source opened. Tolerates a second call and a stop before start. */
  stop(): Promise<void>
  /** Records between the position and the end last seen; -1 if not known yet. */
  lag(): number
}

/** What an applier is told beside the decision. */
export interface ApplyContext<Body> {
  /** What stands now; null: the default. */
  previous: Decision<Body> | null
  /** True if the previous decision is applied again after a failure or a restart. */
  restoring: boolean
}

/** Puts decisions into force at one data plane. Both calls may be repeated and must then change nothing. */
export interface DecisionApplier<Body> {
  /**
   * Applies a decision; returns what was observed, for the ack. A failure with DATA_PLANE_REFUSED says that
   * nothing was changed, with DATA_PLANE_UNREACHABLE that it is worth another try.
   */
  apply: (decision: Decision<Body>, context: ApplyContext<Body>) => Promise<Ack['observed']>
  /** Goes back to the configured safe default. */
  revert: (entity: string) => Promise<void>
  /** What `apply` would do, without doing it: the answer to a dry run. */
  preview?: (decision: Decision<Body>) => Promise<Ack['observed']>
}

/**
 * Where a follower lies in 0..1 for an entity: a canary with share s is applied by the followers below s.
 * FNV-1a of `follower/entity` (UTF-16 code units) with the finaliser of murmur3, so that a growing share only adds followers.
 */
export function canaryPosition(follower: string, entity: string): number {
  const text = `${follower}/${entity}`
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32
}
