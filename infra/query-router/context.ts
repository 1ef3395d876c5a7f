import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Acknowledge, PlannedRequest, QueryPlan, WriteLog } from '#core/ports'
import type { DispatchCounters, DispatchDeps } from './dispatch.ts'
import type { Freshness, RequestBody } from './ports.ts'
import type { Holding } from './held-bytes.ts'
import type { RoutedHttp } from './request.ts'
import type { AcknowledgedWrites, SessionMemory } from './sessions.ts'
import type { Staging } from './staging.ts'

/** What answering requests needs. */
export interface HandlerDeps extends Omit<DispatchDeps, 'counters'> {
  readonly plan: (request: PlannedRequest) => QueryPlan
  /** Numbers of the instances that there are now. */
  readonly members: () => readonly number[]
  /** Whether the text begins with the whole head of an INSERT. */
  readonly isInsertHead: (sql: string) => boolean
  readonly isRowFormat: (format: string) => boolean
  readonly freshness: Freshness
  readonly log: WriteLog
  readonly staging: Staging
  /** Headers of a user that the router acts as; empty: the default user. */
  readonly credentials: readonly string[]
  readonly options: HandlerOptions
  /** Most bytes of statements and rows that all requests together may hold in memory. Default 256 MiB. */
  readonly maxHeldBytes?: number
  /** What `/forestall/health` answers, beside the counters. */
  readonly health: () => object
}

/** Settings of the router; each may be set per request with a header `X-Forestall-...`. */
export interface HandlerOptions {
  /** Whether reads are sent a second time when they are late. */
  readonly hedge: boolean
  readonly acknowledge: Acknowledge
  readonly allowsExpressions: boolean
  /** Whether a `session_id` sees what it has written without a token. */
  readonly bindsSessions: boolean
  /** How long a read waits for a replica that has what its session wrote, ms. */
  readonly freshWithinMs: number
  /** Whether the header `X-Forestall-Change: all` is honoured. */
  readonly allowsChanges: boolean
}

/** What the parts of a handler share. */
export interface HandlerContext extends HandlerDeps {
  readonly counters: DispatchCounters
  readonly sessions: SessionMemory
  readonly acknowledged: AcknowledgedWrites
}

/** One request, as far as it has been read. */
export interface Asked {
  readonly http: RoutedHttp
  readonly request: IncomingMessage
  readonly response: ServerResponse
  /** The statement, or what was read of it. */
  readonly sql: string
  /** Null: the body has not been touched. */
  readonly body: RequestBody | null
  /** What is held of it in memory. */
  readonly holding: Holding
}
