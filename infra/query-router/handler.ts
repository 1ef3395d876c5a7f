import { Buffer } from 'node:buffer'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { ask } from './ask.ts'
import { dispatch, type DispatchCounters, type DispatchDeps, type Job } from './dispatch.ts'
import { answerError, RouterException } from './exceptions.ts'
import { answerInsert, type InsertDeps, rowsOf, runInsert } from './insert.ts'
import { answerParts } from './parts.ts'
import type {
  Acknowledge,
  Freshness,
  InsertPlan,
  OnePlan,
  Plan,
  PlannedRequest,
  RequestBody,
  WriteLog,
} from './ports.ts'
import { decodedBody, readHttp, readStatementBody, type RoutedHttp, withoutHeader } from './request.ts'
import { createAcknowledgedWrites, createSessionMemory } from './sessions.ts'
import type { Staging } from './staging.ts'

/** What answering requests needs. */
export interface HandlerDeps extends Omit<DispatchDeps, 'counters'> {
  readonly plan: (request: PlannedRequest) => Plan
  /** Whether the text begins with the whole head of an INSERT. */
  readonly isInsertHead: (sql: string) => boolean
  readonly isRowFormat: (format: string) => boolean
  readonly freshness: Freshness
  readonly log: WriteLog
  readonly staging: Staging
  /** Headers of a user that the router acts as; empty: the default user. */
  readonly credentials: readonly string[]
  readonly options: HandlerOptions
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

/** How long a read waits for a replica with every write that was acknowledged here, ms. */
const ACKNOWLEDGED_WITHIN_MS = 1000

/** Answers requests of ClickHouse's HTTP interface. */
export interface QueryHandler {
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>
  readonly counters: DispatchCounters
}

/** A handler; never rejects. */
export function createQueryHandler(deps: HandlerDeps): QueryHandler {
  const { upstreams, picker, options, freshness } = deps
  const counters: DispatchCounters = { requests: 0, retries: 0, hedges: 0, hedgesWon: 0, brokenAnswers: 0 }
  const dispatchDeps: DispatchDeps = { ...deps, counters }
  const sessions = createSessionMemory()
  const acknowledged = createAcknowledgedWrites()
  const everyone = upstreams.map((_, i) => i)
  const insertDeps: InsertDeps = {
    upstreams,
    credentials: deps.credentials,
    staging: deps.staging,
    log: deps.log,
    allowsExpressions: options.allowsExpressions,
    acknowledge: options.acknowledge,
  }

  const sessionOf = (http: RoutedHttp): string =>
    options.bindsSessions && http.sessionId !== '' ? http.sessionId : ''

  /** What a read must see: of its tokens and of its session. */
  function mustSee(http: RoutedHttp): ReadonlyMap<number, number> {
    const token = http.own.get('token') ?? ''
    const session = sessionOf(http)
    const known = session === '' ? new Map<number, number>() : sessions.positions(session)
    if (token === '') return known
    try {
      const all = new Map(freshness.decode(token))
      for (const [p, next] of known) all.set(p, Math.max(next, all.get(p) ?? 0))
      return all
    } catch (error) {
      throw new RouterException(36, 'BAD_ARGUMENTS', (error as Error).message)
    }
  }

  /** Throws 159 unless one of the candidates has applied what is needed in time. */
  async function waitFresh(candidates: readonly number[], needs: ReadonlyMap<number, number>): Promise<void> {
    if (await freshness.untilFresh(candidates, needs, AbortSignal.timeout(options.freshWithinMs))) return
    throw new RouterException(
      159,
      'TIMEOUT_EXCEEDED',
      `No replica has applied what the session wrote within ${options.freshWithinMs} ms: try again, or read without the token`,
    )
  }

  /**
   * The instances that may answer: those that have what the session wrote, and whatever was acknowledged here. There is
   * one for the latter as long as the replica that applied it first lives; without it the read is not held up for long.
   */
  async function freshCandidates(plan: OnePlan, http: RoutedHttp): Promise<readonly number[]> {
    if (plan.segments.length === 0) return plan.candidates
    const mine = freshness.needsOf(plan.segments, mustSee(http))
    const needs = acknowledged.neededBy(plan.segments, mine)
    if (needs.size === 0) return plan.candidates
    const fresh = freshness.freshOf(plan.candidates, needs)
    if (fresh.length > 0) return fresh.length === plan.candidates.length ? plan.candidates : fresh
    if (mine.size > 0) await waitFresh(plan.candidates, mine)
    await freshness.untilFresh(plan.candidates, needs, AbortSignal.timeout(ACKNOWLEDGED_WITHIN_MS))
    const later = freshness.freshOf(plan.candidates, needs)
    return later.length > 0 ? later : freshness.freshOf(plan.candidates, mine)
  }

  async function answerOne(
    plan: OnePlan,
    http: RoutedHttp,
    request: IncomingMessage,
    response: ServerResponse,
    body: RequestBody | null,
  ): Promise<void> {
    const isSticky = http.sessionId !== '' && plan.segments.length === 0
    const candidates = isSticky
      ? [plan.candidates[hashOf(http.sessionId) % plan.candidates.length] as number]
      : await freshCandidates(plan, http)
    const hedge = http.own.get('hedge')
    const hasBody = http.method !== 'GET' && http.method !== 'HEAD'
    const isDecoded = body !== null && http.encoding !== ''
    const streamed =
      body === null || body.rest === null
        ? null
        : Readable.from(prepended(body.head, body.rest), { objectMode: false })
    const job: Job = {
      method: http.method,
      path: pathOf(http, plan.isGuarded),
      headers: isDecoded ? withoutHeader(http.headers, 'content-encoding') : http.headers,
      body: hasBody ? (streamed ?? body?.head ?? request) : null,
      plan: isSticky ? { ...plan, isRead: false } : plan,
      candidates,
      mayHedge: hedge === undefined ? options.hedge : hedge !== '0',
      extraHeaders: [],
    }
    await dispatch(dispatchDeps, job, response)
  }

  async function answerInsertInto(
    plan: InsertPlan,
    sql: string,
    http: RoutedHttp,
    request: IncomingMessage,
    response: ServerResponse,
    body: RequestBody | null,
  ): Promise<void> {
    const instance = picker.pick(plan.candidates, 20, deps.nowMs())
    if (instance < 0) throw new RouterException(279, 'ALL_CONNECTION_TRIES_FAILED', 'No instance can answer')
    const rows = rowsOf(plan, sql, http.urlSql, request, body, http.encoding)
    const { answer, written } = await runInsert(insertDeps, { http, plan, sql, instance, body: rows })
    if (written !== null) acknowledged.note(written.bySegment)
    if (written !== null && http.sessionId !== '') sessions.note(http.sessionId, written.positions)
    const hasToken = written !== null && written.positions.size > 0
    answerInsert(response, answer, hasToken ? freshness.encode(written.positions) : '')
  }

  async function answerByParts(
    parts: (Plan & { kind: 'parts' })['parts'],
    http: RoutedHttp,
    response: ServerResponse,
    sql: string,
  ): Promise<void> {
    const format = http.search.get('default_format') ?? 'TabSeparated'
    if (!/\bFORMAT\s+\w+/i.test(sql) && !deps.isRowFormat(format)) {
      throw new RouterException(
        36,
        'BAD_ARGUMENTS',
        `Answers of several instances cannot be put together in the format ${format}`,
      )
    }
    if (http.search.has('additional_table_filters')) {
      throw new RouterException(
        36,
        'BAD_ARGUMENTS',
        'additional_table_filters and a query of all instances exclude each other',
      )
    }
    const positions = mustSee(http)
    await Promise.all(
      parts.map(async ({ instance, segments }) => {
        const mine = freshness.needsOf(segments, positions)
        await waitFresh([instance], mine)
        const needs = acknowledged.neededBy(segments, mine)
        await freshness.untilFresh([instance], needs, AbortSignal.timeout(ACKNOWLEDGED_WITHIN_MS))
      }),
    )
    const requests = parts.map(({ instance, filters }) => {
      const search = new URLSearchParams(http.search)
      search.delete('query')
      search.delete('query_id')
      search.set('additional_table_filters', filters)
      const upstream = upstreams[instance]
      if (upstream === undefined) throw new RangeError(`There is no instance ${instance}`)
      const headers = withoutHeader(withoutHeader(http.headers, 'accept-encoding'), 'content-encoding')
      return { upstream, path: `/?${search.toString()}`, headers, body: Buffer.from(sql), method: 'POST' }
    })
    await answerParts(response, requests)
  }

  /** A statement for every instance at once: the first answer that is an error counts, else the first. */
  async function answerBroadcast(http: RoutedHttp, response: ServerResponse, sql: string): Promise<void> {
    const headers = withoutHeader(withoutHeader(http.headers, 'accept-encoding'), 'content-encoding')
    const search = Object.fromEntries([...http.search].filter(([name]) => name !== 'query'))
    const answers = await Promise.all(upstreams.map((u) => ask(u, { sql, search, headers })))
    const chosen =
      answers.find((a) => a.status !== 200) ?? answers.find((a) => a.body.length > 0) ?? answers[0]
    if (chosen !== undefined) answerInsert(response, chosen, '')
  }

  async function answerChange(
    verb: string,
    http: RoutedHttp,
    response: ServerResponse,
    sql: string,
  ): Promise<void> {
    const outcomes = await deps.log.change(sql, http.database)
    deps.staging.forget()
    const failed = outcomes.filter((o) => o.failure !== '')
    if (failed.length > 0) {
      const text = failed.map((o) => `${o.instance}: ${o.failure.trim()}`).join('; ')
      throw new RouterException(
        1002,
        'UNKNOWN_EXCEPTION',
        `${verb} failed on ${failed.length} of ${outcomes.length} instances. ${text}`,
      )
    }
    response.writeHead(200, {
      'Content-Type': 'text/plain; charset=UTF-8',
      'Content-Length': 0,
      'X-ClickHouse-Summary': '{}',
    })
    response.end()
  }

  async function answerPlan(
    plan: Plan,
    sql: string,
    http: RoutedHttp,
    request: IncomingMessage,
    response: ServerResponse,
    body: RequestBody | null,
  ): Promise<void> {
    switch (plan.kind) {
      case 'one':
        return answerOne(plan, http, request, response, body)
      case 'insert':
        return answerInsertInto(plan, sql, http, request, response, body)
      case 'parts':
        return answerByParts(plan.parts, http, response, sql)
      case 'broadcast':
        return answerBroadcast(http, response, sql)
      case 'change':
        return answerChange(plan.verb, http, response, sql)
      case 'refuse':
        throw new RouterException(plan.code, plan.name, plan.message)
    }
  }

  async function answerQuery(
    http: RoutedHttp,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const rowsInBody = http.urlSql !== '' && deps.isInsertHead(http.urlSql)
    const needsBody = !rowsInBody && http.method !== 'GET' && http.method !== 'HEAD'
    if (needsBody && http.search.get('decompress') === '1') {
      throw new RouterException(
        48,
        'NOT_IMPLEMENTED',
        "A statement in ClickHouse's own compression cannot be read: put it in the URL",
      )
    }
    const body = needsBody
      ? await readStatementBody(decodedBody(request, http.encoding), (text) =>
          deps.isInsertHead(joinSql(http.urlSql, text.toString())),
        )
      : null
    const sql = body === null ? http.urlSql : joinSql(http.urlSql, body.head.toString())
    const named = http.own.get('key')
    const plan = deps.plan({
      sql,
      database: http.database,
      params: http.params,
      keys: named === undefined ? keysOfComment(http.search.get('log_comment')) : named.split(','),
      sendsChanges: options.allowsChanges && http.own.get('change') === 'all',
    })
    await answerPlan(plan, sql, http, request, response, body)
  }

  return {
    counters,
    async handle(request, response) {
      let queryId = ''
      try {
        const http = readHttp(request)
        queryId = http.queryId
        if (http.path === '/ping' || (http.method === 'GET' && http.path === '/' && http.query === '')) {
          return answerText(response, 'Ok.\n')
        }
        if (http.path !== '/') {
          const plan: OnePlan = {
            kind: 'one',
            candidates: everyone,
            weights: [],
            segments: [],
            isRead: true,
            isGuarded: false,
            operation: http.path,
          }
          return await answerOne(plan, http, request, response, null)
        }
        await answerQuery(http, request, response)
      } catch (error) {
        // What is left of the body would otherwise be read as the next request.
        if (!request.complete && !response.headersSent) response.setHeader('Connection', 'close')
        answerError(response, error, queryId)
        request.resume()
      }
    },
  }
}

function pathOf(http: RoutedHttp, isGuarded: boolean): string {
  const query =
    isGuarded && !http.search.has('readonly')
      ? `${http.query === '' ? '' : `${http.query}&`}readonly=2`
      : http.query
  return query === '' ? http.path : `${http.path}?${query}`
}

const joinSql = (urlSql: string, body: string): string =>
  urlSql === '' ? body : body === '' ? urlSql : `${urlSql}\n${body}`

/** Shard keys in a JSON log comment: `{"shard_key": "k"}`, or a list of keys. */
function keysOfComment(comment: string | null): string[] | null {
  if (comment?.includes('shard_key') !== true) return null
  try {
    const { shard_key: key } = JSON.parse(comment) as { shard_key?: unknown }
    const list = Array.isArray(key) ? key : [key]
    const isText = list.every((k) => typeof k === 'string' || typeof k === 'number')
    return isText ? list.map(String) : null
  } catch {
    return null
  }
}

function hashOf(text: string): number {
  let h = 0x811c9dc5
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193)
  return h >>> 0
}

async function* prepended(head: Buffer, rest: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield head
  yield* rest
}

function answerText(response: ServerResponse, text: string): void {
  response.writeHead(200, {
    'Content-Type': 'text/plain; charset=UTF-8',
    'Content-Length': Buffer.byteLength(text),
  })
  response.end(text)
}
