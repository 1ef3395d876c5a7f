import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate, zstdDecompress } from 'node:zlib'
import { answerPing, answerText, sendBytes, sendFile, setHeaders } from './answers.ts'
import { type Engine, literal, type Outcome } from './engine.ts'
import { refusal, toException } from './exceptions.ts'
import { type HttpQuery, readRequest } from './request.ts'
import type { Spool } from './spool.ts'
import { readStatement, type Statement } from './statement.ts'

/** Longest statement that is held in memory (rows inline included), bytes. */
const MAX_STATEMENT_BYTES = 16 << 20

/** What a handler needs. */
export interface HandlerDeps {
  readonly engine: Engine
  readonly spool: Spool
  /** True once the host is stopping: new work is refused. */
  stopping(): boolean
}

const DECOMPRESS = new Map<string, (bytes: Buffer) => Promise<Buffer>>([
  ['gzip', promisify<Buffer, Buffer>(gunzip)],
  ['deflate', promisify<Buffer, Buffer>(inflate)],
  ['br', promisify<Buffer, Buffer>(brotliDecompress)],
  ['zstd', promisify<Buffer, Buffer>(zstdDecompress)],
])

/** Answers one request of ClickHouse's HTTP interface; never rejects. */
export function createHandler(
  deps: HandlerDeps,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  const { engine, spool } = deps
  return async (request, response) => {
    const abort = new AbortController()
    response.on('close', () => {
      if (!response.writableFinished) abort.abort(new Error('The client has gone'))
    })
    const state = { queryId: randomUUID() as string }
    try {
      const url = new URL(request.url ?? '/', 'http://localhost')
      if (
        url.pathname === '/ping' ||
        url.pathname === '/replicas_status' ||
        (url.pathname === '/' && bare(request, url))
      ) {
        return answerPing(response, deps.stopping())
      }
      if (url.pathname !== '/') return answerText(response, 404, 'There is no handle here: use / or /ping\n')
      if (deps.stopping()) throw refusal(439, 'CANNOT_SCHEDULE_TASK', 'The server is stopping')
      const query = readRequest(request, url, randomUUID)
      state.queryId = query.queryId
      await answer(deps, request, response, query, abort.signal)
    } catch (error) {
      if (abort.signal.aborted || response.headersSent) return void response.destroy()
      const exception = toException(error, engine.version, `${spool.dir}/`)
      response.setHeader('X-ClickHouse-Exception-Code', String(exception.code))
      response.setHeader('X-ClickHouse-Query-Id', state.queryId)
      // What is left of the body would otherwise be read as the next request.
      if (!request.complete) response.setHeader('Connection', 'close')
      answerText(response, exception.status, exception.text)
      request.resume()
    }
  }
}

/** Statements for which a full disk is no obstacle. */
const FREES_OR_WRITES_NOTHING = /^\s*(DROP|TRUNCATE|KILL|SET|USE|SYSTEM)\b/i

const bare = (request: IncomingMessage, url: URL) =>
  request.method === 'GET' && !url.searchParams.has('query')

async function answer(
  { engine, spool }: HandlerDeps,
  request: IncomingMessage,
  response: ServerResponse,
  query: HttpQuery,
  signal: AbortSignal,
): Promise<void> {
  const inUrl = query.urlSql === '' ? null : readStatement(query.urlSql)
  const rowsInBody = inUrl?.kind === 'insert'
  const whole = rowsInBody ? Buffer.from(query.urlSql) : await readWhole(request, query)
  const sql = whole.toString()
  const statement = rowsInBody ? inUrl : readStatement(sql)
  for (const name of statement.params) {
    if (!query.params.has(name)) {
      throw refusal(456, 'UNKNOWN_QUERY_PARAMETER', `Substitution \`${name}\` is not set`)
    }
  }
  if (statement.kind === 'read') return answerRead(engine, spool, response, query, sql, statement, signal)
  if (statement.kind !== 'insert' && !FREES_OR_WRITES_NOTHING.test(sql)) await spool.checkRoom()
  const outcome =
    statement.kind === 'insert'
      ? await runInsert(engine, spool, query, sql, statement, rowsInBody ? request : whole, signal)
      : await engine.run({ ...jobOf(query, signal), lane: 'general', sql, killMark: '', reusable: false })
  setHeaders(response, query, query.defaultFormat, outcome, statement.kind === 'insert')
  await sendBytes(response, query, Buffer.from(outcome.bytes))
}

/** The statement and rows of a request that are held in memory: what the URL says, a line break, the body. */
async function readWhole(request: IncomingMessage, query: HttpQuery): Promise<Buffer> {
  const body = await readBody(request, query.bodyCompression)
  if (query.urlSql === '') return body
  return Buffer.concat(
    body.length === 0 ? [Buffer.from(query.urlSql)] : [Buffer.from(`${query.urlSql}\n`), body],
  )
}

const jobOf = (query: HttpQuery, signal: AbortSignal) => ({
  format: query.defaultFormat,
  database: query.database,
  settings: query.settings,
  params: query.params,
  signal,
})

/** Runs a query into a file and sends the file: memory stays flat, and an error is always a status. */
async function answerRead(
  engine: Engine,
  spool: Spool,
  response: ServerResponse,
  query: HttpQuery,
  sql: string,
  statement: Statement & { kind: 'read' },
  signal: AbortSignal,
): Promise<void> {
  const path = spool.newPath()
  const format = statement.format === '' ? query.defaultFormat : statement.format
  const clause = ` INTO OUTFILE ${literal(path)} ${statement.format === '' ? `FORMAT ${format}` : ''} `
  const text = sql.slice(0, statement.outfileAt) + clause + sql.slice(statement.outfileAt)
  try {
    const job = {
      ...jobOf(query, signal),
      lane: 'general' as const,
      sql: text,
      killMark: path,
      reusable: true,
    }
    const outcome = await engine.run(job)
    const empty = !existsSync(path) // FORMAT Null
    if (!empty) spool.checkRoomBehind(path)
    setHeaders(response, query, format, outcome, false)
    if (empty) return await sendBytes(response, query, Buffer.alloc(0))
    await sendFile(response, query, path)
  } finally {
    await spool.remove(path)
  }
}

async function runInsert(
  engine: Engine,
  spool: Spool,
  query: HttpQuery,
  sql: string,
  statement: Statement & { kind: 'insert' },
  rows: IncomingMessage | Buffer,
  signal: AbortSignal,
): Promise<Outcome> {
  const fromBody = !Buffer.isBuffer(rows)
  const inline = sql.slice(statement.dataAt)
  if (inline !== '' && fromBody && query.bodyCompression !== 'none') {
    throw refusal(48, 'NOT_IMPLEMENTED', 'Rows in the URL and a compressed body cannot be joined')
  }
  // Rows in memory are cut out as bytes: binary formats do not survive the way through text.
  const dataAt = Buffer.byteLength(sql.slice(0, statement.dataAt))
  const file = await spool.write(fromBody ? [Buffer.from(inline), rows] : [rows.subarray(dataAt)])
  try {
    if (file.bytes === 0) return { bytes: new Uint8Array(0), rowsRead: 0, bytesRead: 0, elapsedMs: 0 }
    const compression = fromBody ? query.bodyCompression : 'none'
    const from = ` FROM INFILE ${literal(file.path)} COMPRESSION '${compression}' `
    const head = sql.slice(0, statement.infileAt) + from + sql.slice(statement.infileAt, statement.headEnd)
    const text = `${head} FORMAT ${statement.format}`
    return await engine.run({
      ...jobOf(query, signal),
      lane: 'insert',
      sql: text,
      killMark: '',
      reusable: true,
    })
  } finally {
    await spool.remove(file.path)
  }
}

async function readBody(request: IncomingMessage, compression: string): Promise<Buffer> {
  if (/^multipart\//i.test(request.headers['content-type'] ?? '')) {
    throw refusal(
      48,
      'NOT_IMPLEMENTED',
      'The embedded ClickHouse reads no multipart bodies: send param_x in the URL',
    )
  }
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes > MAX_STATEMENT_BYTES) {
      throw refusal(
        229,
        'QUERY_IS_TOO_LARGE',
        'The statement is larger than 16 MiB: put INSERT ... FORMAT in the URL and the rows in the body',
      )
    }
    chunks.push(chunk)
  }
  const body = Buffer.concat(chunks)
  const decompress = DECOMPRESS.get(compression)
  return decompress === undefined || body.length === 0 ? body : await decompress(body)
}
