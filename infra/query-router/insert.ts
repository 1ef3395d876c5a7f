import { Buffer } from 'node:buffer'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { pipeline, Readable } from 'node:stream'
import type { Acknowledge, InsertPlan, WriteLog, Written } from '#core/ports'
import { type Answer, ask, headerOf, quoted, send } from './ask.ts'
import { RouterException, writeHead } from './exceptions.ts'
import { refuseExpressions } from './literal-values.ts'
import type { RequestBody } from './ports.ts'
import { decodedBody, type RoutedHttp, withoutHeader } from './request.ts'
import type { Staging, StagingTable } from './staging.ts'
import { BodyFailure, type Upstream } from './upstream.ts'

/** What inserts into sharded tables need. */
export interface InsertDeps {
  readonly upstreams: readonly Upstream[]
  readonly credentials: readonly string[]
  readonly staging: Staging
  readonly log: WriteLog
  readonly allowsExpressions: boolean
  readonly acknowledge: Acknowledge
}

/** An insert to be carried out. */
export interface InsertJob {
  readonly http: RoutedHttp
  readonly plan: InsertPlan
  /** The statement up to its rows. */
  readonly sql: string
  readonly instance: number
  readonly body: InsertBody
}

/** The rows of an insert. */
export interface InsertBody {
  /** Null: none. */
  readonly rows: Readable | Buffer | null
  readonly encoding: string
}

/** Rows up to this size are parsed in memory at the instance. */
const SMALL_BYTES = 1 << 20

/** Settings of the client that are for the log to keep, not for the parsing. */
const NOT_FOR_PARSING = [
  'insert_deduplication_token',
  'wait_for_async_insert',
  'session_id',
  'session_timeout',
  'session_check',
]

/**
 * Carries out an insert: an instance parses all rows into a staging table (with the client's own statement, settings and
 * credentials, so that defaults are evaluated once and a bad row is refused as ClickHouse refuses it); then they are
 * read back with their keys and go into the log. Resolves with the answer for the client and what was written.
 */
export async function runInsert(
  deps: InsertDeps,
  job: InsertJob,
): Promise<{ answer: Answer; written: Written | null }> {
  const { plan, http } = job
  const { rows } = job.body
  const upstream = deps.upstreams[job.instance] as Upstream
  const isLarge = rows instanceof Readable || (rows?.length ?? 0) > SMALL_BYTES
  const table = await deps.staging.take(job.instance, plan.rule, isLarge).catch((error: unknown) => {
    throw error instanceof RouterException ? error : new NotParsed((error as Error).message)
  })
  let isSettled = false
  try {
    const answer = await parse(deps, job, upstream, table)
    if (answer.status !== 200) return { answer: namedBack(answer, table, plan), written: null }
    const sink = deps.log.open({
      database: plan.rule.database,
      table: plan.rule.table,
      columns: table.columns,
      repeatToken: repeatToken(job),
      acknowledge: acknowledgeOf(http, deps.acknowledge),
    })
    let readBytes = 0
    // Whole or not at all: an error behind the first rows would come as more rows.
    const question = {
      sql: readBack(plan, table),
      headers: deps.credentials,
      search: { wait_end_of_query: '1' },
    }
    const read = await ask(upstream, question, (piece) => {
      readBytes += piece.length
      return sink.push(piece)
    })
    if (read.status !== 200) {
      throw new RouterException(
        1002,
        'UNKNOWN_EXCEPTION',
        `The parsed rows cannot be read: ${read.body.toString().trim()}`,
      )
    }
    // What is parsed in memory does not outlive the instance: it came back so soon that nobody noticed.
    if (readBytes === 0 && writtenRows(answer) > 0)
      throw new NotParsed(`${upstream.url} was restarted meanwhile`)
    isSettled = true
    return { answer, written: await sink.finish() }
  } finally {
    table.release(isSettled)
  }
}

/** The instance that was to parse the rows has failed; nothing was written. */
export class NotParsed extends RouterException {
  constructor(why: string) {
    super(210, 'NETWORK_ERROR', `The rows could not be parsed: ${why}. Nothing was written`, 503)
  }
}

function acknowledgeOf(http: RoutedHttp, usual: Acknowledge): Acknowledge {
  const asked = http.own.get('acknowledge')
  if (asked === undefined) return usual
  if (asked === 'log' || asked === 'first' || asked === 'all') return asked
  throw new RouterException(36, 'BAD_ARGUMENTS', `X-Forestall-Acknowledge is log, first or all, not ${asked}`)
}

/**
 * Small rows as bytes, which can be sent again; larger ones as a stream that goes to disk at the instance. `take` is told
 * of what is held.
 */
export async function withinMemory(
  { rows, encoding }: InsertBody,
  take: (bytes: number) => void,
): Promise<InsertBody> {
  if (!(rows instanceof Readable)) return { rows, encoding }
  const chunks: Buffer[] = []
  let bytes = 0
  const iterator = rows[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  while (bytes <= SMALL_BYTES) {
    const { value, done } = await iterator.next()
    if (done === true) return { rows: Buffer.concat(chunks), encoding }
    take(value.length)
    chunks.push(value)
    bytes += value.length
  }
  async function* all(): AsyncGenerator<Buffer> {
    yield* chunks.splice(0)
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value
  }
  return { rows: Readable.from(all(), { objectMode: false }), encoding }
}

async function parse(
  deps: InsertDeps,
  { http, plan, sql, body }: InsertJob,
  upstream: Upstream,
  table: StagingTable,
): Promise<Answer> {
  const search = new URLSearchParams(http.search)
  for (const name of NOT_FOR_PARSING) search.delete(name)
  search.set('query', headFor(table, plan, sql))
  // Parsed is what the answer must mean: rows that wait for others would be missed, whatever the user's profile says.
  search.set('async_insert', '0')
  search.set('wait_end_of_query', '1')
  let { rows, encoding } = body
  refuseHidden(plan, http, sql, deps.allowsExpressions)
  if (plan.statement.format.toLowerCase() === 'values' && !deps.allowsExpressions && rows !== null) {
    const plain = decodedBody(
      rows instanceof Readable ? rows : Readable.from([rows], { objectMode: false }),
      encoding,
    )
    encoding = ''
    // Its error reaches whoever reads the rows.
    rows = pipeline(plain, refuseExpressions(), () => undefined)
  }
  const headers = encoding === '' ? withoutHeader(http.headers, 'content-encoding') : http.headers
  try {
    return await send(upstream, {
      method: 'POST',
      path: `/?${search.toString()}`,
      headers: withoutHeader(headers, 'accept-encoding'),
      body: rows,
      isRepeatable: false,
    })
  } catch (error) {
    if (error instanceof RouterException) throw error
    if (error instanceof BodyFailure) throw error.cause
    throw new NotParsed((error as Error).message)
  }
}

/** The client's token, of the statement or the URL; '' if none. */
function repeatToken({ plan, http }: InsertJob): string {
  const said = plan.statement.settings.find(({ name }) => name === 'insert_deduplication_token')
  return said?.value ?? http.search.get('insert_deduplication_token') ?? ''
}

/** The statement up to its rows, for a staging table, and not to be carried out later. */
function headFor(table: StagingTable, { statement }: InsertPlan, sql: string): string {
  const later = statement.settings.filter(({ name }) => name === 'async_insert')
  const edits = [
    { span: statement.nameSpan, text: table.name },
    ...later.map(({ span }) => ({ span, text: '0' })),
  ]
  let head = ''
  let at = 0
  for (const { span, text } of edits) {
    head += sql.slice(at, span[0]) + text
    at = span[1]
  }
  return head + sql.slice(at, statement.dataAt)
}

/** Throws 48 for rows in ClickHouse's own compression, where they would have to be looked at. */
function refuseHidden(
  { statement }: InsertPlan,
  { search, urlSql }: RoutedHttp,
  sql: string,
  allowsExpressions: boolean,
): void {
  const isPacked = ['1', 'true'].includes(search.get('decompress') ?? '')
  const isValues = statement.format.toLowerCase() === 'values' && !allowsExpressions
  const isSplit = urlSql !== '' && statement.dataAt < sql.length
  if (!isPacked || !(isValues || isSplit)) return
  const why = isSplit
    ? 'rows in the URL cannot be joined with others'
    : 'VALUES cannot be looked through for expressions'
  throw new RouterException(
    48,
    'NOT_IMPLEMENTED',
    `In ClickHouse's own compression (decompress=1) ${why}: send another format, or compress with Content-Encoding`,
  )
}

/** Rows that an instance says it has written; 0 if it says nothing. */
function writtenRows(answer: Answer): number {
  const summary = headerOf(answer.headers, 'x-clickhouse-summary')
  const found = /"written_rows":"(\d+)"/.exec(summary)
  return found === null ? 0 : Number(found[1])
}

/** Pairs (key, row), each row as the bytes that the replicas will take. */
function readBack(plan: InsertPlan, table: StagingTable): string {
  const columns = table.columns.map(quoted).join(', ')
  return `SELECT toString(${quoted(plan.rule.keyColumn)}), formatRow('RowBinary', ${columns}) FROM ${table.name} SETTINGS max_threads = 1 FORMAT RowBinary`
}

/** An error about the staging table is one about the table. */
function namedBack(answer: Answer, table: StagingTable, { rule }: InsertPlan): Answer {
  const text = answer.body.toString().replaceAll(table.plainName, rule.table)
  return { ...answer, body: Buffer.from(text) }
}

/** The rows of an insert: what follows the statement in what was read of the body, and the rest of it. */
export function rowsOf(
  plan: InsertPlan,
  sql: string,
  urlSql: string,
  request: IncomingMessage,
  body: RequestBody | null,
  encoding: string,
): InsertBody {
  if (body === null) {
    const inline = Buffer.from(sql.slice(plan.statement.dataAt))
    if (inline.length === 0) return { rows: request, encoding }
    return { rows: joined(inline, decodedBody(request, encoding)), encoding: '' }
  }
  // Cut out as bytes: binary rows do not survive the way through text.
  const headBytes = Buffer.byteLength(sql.slice(urlSql === '' ? 0 : urlSql.length + 1, plan.statement.dataAt))
  const first = body.head.subarray(headBytes)
  return { rows: body.rest === null ? first : joined(first, body.rest), encoding: '' }
}

function joined(first: Buffer, rest: Readable): Readable {
  async function* all(): AsyncGenerator<Buffer> {
    if (first.length > 0) yield first
    yield* rest as AsyncIterable<Buffer>
  }
  return Readable.from(all(), { objectMode: false })
}

/** Answers an insert. */
export function answerInsert(response: ServerResponse, answer: Answer, token: string): void {
  const headers: string[] = []
  for (let i = 0; i < answer.headers.length; i += 2) {
    const name = answer.headers[i] as string
    const isOurs = /^(?:x-clickhouse-|content-type$)/i.test(name)
    if (isOurs) headers.push(name, answer.headers[i + 1] as string)
  }
  if (token !== '') headers.push('X-Forestall-Token', token)
  const body = headerOf(answer.headers, 'content-encoding') === '' ? answer.body : Buffer.alloc(0)
  headers.push('Content-Length', String(body.length))
  writeHead(response, answer.status, '', headers)
  response.end(body)
}
