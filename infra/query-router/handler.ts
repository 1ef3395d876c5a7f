import { Buffer } from 'node:buffer'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { OnePlan, QueryPlan } from '#core/ports'
import type { Asked, HandlerContext, HandlerDeps } from './context.ts'
import type { DispatchCounters } from './dispatch.ts'
import { answerError, RouterException } from './exceptions.ts'
import { createHeldBytes, type Holding } from './held-bytes.ts'
import { createReads } from './reads.ts'
import { decodedBody, readHttp, readStatementBody, type RoutedHttp } from './request.ts'
import { createAcknowledgedWrites, createSessionMemory } from './sessions.ts'
import { createWrites } from './writes.ts'

/** Answers requests of ClickHouse's HTTP interface. */
export interface QueryHandler {
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>
  readonly counters: DispatchCounters
}

/** A handler; its `handle` never rejects. */
export function createQueryHandler(deps: HandlerDeps): QueryHandler {
  const counters: DispatchCounters = { requests: 0, retries: 0, hedges: 0, hedgesWon: 0, brokenAnswers: 0 }
  const context: HandlerContext = {
    ...deps,
    counters,
    sessions: createSessionMemory(),
    acknowledged: createAcknowledgedWrites(),
  }
  const hold = createHeldBytes(deps.maxHeldBytes ?? MAX_HELD_BYTES)
  const reads = createReads(context)
  const writes = createWrites(context)

  function answerPlan(plan: QueryPlan, asked: Asked): Promise<void> {
    switch (plan.kind) {
      case 'one':
        return reads.answerOne(plan, asked)
      case 'insert':
        return writes.answerInsertInto(plan, asked)
      case 'parts':
        return reads.answerByParts(plan, asked)
      case 'broadcast':
        return writes.answerBroadcast(asked)
      case 'change':
        return writes.answerChange(plan.verb, asked)
      case 'refuse':
        throw new RouterException(plan.code, plan.name, plan.message)
    }
  }

  async function answerQuery(
    http: RoutedHttp,
    request: IncomingMessage,
    response: ServerResponse,
    holding: Holding,
  ): Promise<void> {
    refuseDialects(http)
    if (/^multipart\//i.test(request.headers['content-type'] ?? '')) {
      throw new RouterException(
        48,
        'NOT_IMPLEMENTED',
        'Multipart bodies (external tables, parameters as fields) are not read: put the statement into the body and parameters into the URL as param_name',
      )
    }
    const rowsInBody = http.urlSql !== '' && deps.isInsertHead(http.urlSql)
    const needsBody = !rowsInBody && http.method !== 'GET' && http.method !== 'HEAD'
    if (needsBody && isOn(http.search.get('decompress'))) {
      throw new RouterException(
        48,
        'NOT_IMPLEMENTED',
        "A statement in ClickHouse's own compression cannot be read: put it in the URL",
      )
    }
    const body = needsBody
      ? await readStatementBody(
          decodedBody(request, http.encoding),
          (text) => deps.isInsertHead(joinSql(http.urlSql, text.toString())),
          holding.take,
        )
      : null
    const sql = body === null ? http.urlSql : joinSql(http.urlSql, body.head.toString())
    const named = http.own.get('key')
    const plan = deps.plan({
      sql,
      database: http.database,
      params: http.params,
      keys: named === undefined ? keysOfComment(http.search.get('log_comment')) : named.split(','),
      sendsChanges: deps.options.allowsChanges && http.own.get('change') === 'all',
    })
    if (isReading(http) && (plan.kind === 'insert' || plan.kind === 'change' || plan.kind === 'broadcast')) {
      throw new RouterException(
        164,
        'READONLY',
        `Cannot execute query in readonly mode. For queries over HTTP, method ${http.method} implies readonly. You should use method POST for modifying queries`,
      )
    }
    await answerPlan(plan, { http, request, response, sql, body, holding })
  }

  /** What is no query: pages, health checks and endpoints that an instance has of its own. */
  function answerPath(
    http: RoutedHttp,
    request: IncomingMessage,
    response: ServerResponse,
    holding: Holding,
  ): Promise<void> {
    if (!isReading(http)) {
      throw new RouterException(
        48,
        'NOT_IMPLEMENTED',
        `${http.method} ${http.path} is not passed on, as it could change one instance only: statements go to /`,
      )
    }
    const plan: OnePlan = {
      kind: 'one',
      candidates: deps.members(),
      weights: [],
      segments: [],
      keys: [],
      isRead: true,
      filters: '',
      isGuarded: false,
      operation: http.path.slice(0, 100),
    }
    return reads.answerOne(plan, { http, request, response, sql: '', body: null, holding })
  }

  return {
    counters,
    async handle(request, response) {
      let queryId = ''
      const holding = hold()
      try {
        const http = readHttp(request)
        queryId = http.queryId
        if (http.path === '/ping' || (http.method === 'GET' && http.path === '/' && http.query === '')) {
          const isUp = deps.members().some((i) => !deps.picker.isOut(i))
          return isUp
            ? answerText(response, 200, 'Ok.\n')
            : answerText(response, 503, 'No instance answers\n')
        }
        if (http.path === '/forestall/health') {
          return answerText(response, 200, `${JSON.stringify({ counters, ...deps.health() })}\n`)
        }
        if (!QUERY_PATHS.has(http.path)) return await answerPath(http, request, response, holding)
        await answerQuery(http, request, response, holding)
      } catch (error) {
        answerError(response, error, queryId)
      } finally {
        holding.end()
        drain(request)
      }
    },
  }
}

/** Paths of ClickHouse's HTTP interface that take statements. */
const QUERY_PATHS = new Set(['/', '/query'])
const MAX_HELD_BYTES = 256 << 20
/** How long a client that has its answer may go on sending, ms. */
const DRAIN_MS = 10_000

/**
 * Reads and forgets what is left of a request: a client that is still sending would otherwise lose its answer with the
 * connection.
 */
function drain(request: IncomingMessage): void {
  if (request.complete || request.destroyed) return
  // Whoever has read a part of it may still be listening, and would hold it up.
  request.removeAllListeners('readable')
  setImmediate(() => request.resume())
  const patience = setTimeout(() => request.destroy(), DRAIN_MS).unref()
  request.once('close', () => clearTimeout(patience))
}

/** Whether a request must change nothing, by its method. */
const isReading = ({ method }: RoutedHttp): boolean => method === 'GET' || method === 'HEAD'

const isOn = (value: string | null): boolean => value === '1' || value === 'true'

/** Settings with which statements are read as something else than SQL, or as reading other tables. */
function refuseDialects({ search }: RoutedHttp): void {
  const dialect = search.get('dialect') ?? 'clickhouse'
  const isOther =
    dialect !== 'clickhouse' ||
    isOn(search.get('implicit_select')) ||
    search.has('implicit_table_at_top_level')
  if (!isOther) return
  throw new RouterException(
    48,
    'NOT_IMPLEMENTED',
    'Statements are read as SQL: the settings dialect, implicit_select and implicit_table_at_top_level are not supported here',
  )
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

function answerText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=UTF-8',
    'Content-Length': Buffer.byteLength(text),
  })
  response.end(text)
}
