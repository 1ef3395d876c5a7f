import { Buffer } from 'node:buffer'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { OnePlan, QueryPlan } from '#core/ports'
import type { Asked, HandlerContext, HandlerDeps } from './context.ts'
import type { DispatchCounters } from './dispatch.ts'
import { answerError, RouterException } from './exceptions.ts'
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
  const reads = createReads(context)
  const writes = createWrites(context)

  function answerPlan(plan: QueryPlan, asked: Asked): Promise<void> {
    switch (plan.kind) {
      case 'one':
        return reads.answerOne(plan, asked)
      case 'insert':
        return writes.answerInsertInto(plan, asked)
      case 'parts':
        return reads.answerByParts(plan.parts, asked)
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
      sendsChanges: deps.options.allowsChanges && http.own.get('change') === 'all',
    })
    await answerPlan(plan, { http, request, response, sql, body })
  }

  return {
    counters,
    async handle(request, response) {
      let queryId = ''
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
        if (http.path !== '/') {
          const plan: OnePlan = {
            kind: 'one',
            candidates: deps.members(),
            weights: [],
            segments: [],
            keys: [],
            isRead: true,
            isGuarded: false,
            operation: http.path,
          }
          return await reads.answerOne(plan, { http, request, response, sql: '', body: null })
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
