import { Buffer } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { Readable, type Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate, createZstdDecompress } from 'node:zlib'
import { RouterException } from './exceptions.ts'
import type { RequestBody } from './ports.ts'

/** What URL and headers of a request say. */
export interface RoutedHttp {
  readonly method: string
  readonly path: string
  /** Parameters for the instance: those of the router are taken out. */
  readonly search: URLSearchParams
  /** The query string for the instance, as sent if nothing was taken out. */
  readonly query: string
  /** Headers for the instance. */
  readonly headers: readonly string[]
  readonly urlSql: string
  readonly database: string
  /** Format of an answer to a statement that names none. */
  readonly defaultFormat: string
  readonly params: ReadonlyMap<string, string>
  readonly queryId: string
  readonly sessionId: string
  /** Settings of the router, by name without `forestall_` or `X-Forestall-`. */
  readonly own: ReadonlyMap<string, string>
  /** Compression of the body: '' if none. */
  readonly encoding: string
}

/** Headers that belong to one connection, or that are made anew. */
const DROPPED = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'content-length',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'host',
])
const OWN_PARAM = 'forestall_'
const OWN_HEADER = 'x-forestall-'

/** Parameters that ClickHouse takes in any case; others count only as they are written here. */
const CASELESS = new Set(['query', 'query_id', 'session_id', 'decompress'])

/** Headers come as bytes: names of keys in them are UTF-8 all the same. */
const utf8 = (value: string): string => Buffer.from(value, 'latin1').toString()

/** Reads everything but the body. Throws 36 for parameters that ClickHouse would read otherwise. */
export function readHttp(request: IncomingMessage): RoutedHttp {
  const target = request.url ?? '/'
  const mark = target.indexOf('?')
  const rawQuery = mark < 0 ? '' : target.slice(mark + 1)
  const search = new URLSearchParams(rawQuery)
  const own = new Map<string, string>()
  const params = new Map<string, string>()
  if (rawQuery !== '') {
    for (const [name, value] of search) {
      if (name.startsWith('param_')) params.set(name.slice('param_'.length), value)
      else if (name.startsWith(OWN_PARAM)) own.set(name.slice(OWN_PARAM.length), value)
      const lower = name.toLowerCase()
      if (lower !== name && CASELESS.has(lower))
        throw new RouterException(36, 'BAD_ARGUMENTS', `Parameter ${name}: write it ${lower}`)
    }
    for (const name of own.keys()) search.delete(OWN_PARAM + name)
  }
  const isPlain = own.size === 0
  const headers: string[] = []
  // What headers say counts for more than the URL, as with ClickHouse.
  let database = ''
  let defaultFormat = ''
  let encoding = ''
  const raw = request.rawHeaders
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] as string
    const value = raw[i + 1] as string
    const lower = name.toLowerCase()
    if (lower.startsWith(OWN_HEADER))
      own.set(lower.slice(OWN_HEADER.length).replaceAll('-', '_'), utf8(value))
    else if (!DROPPED.has(lower)) headers.push(name, value)
    if (lower === 'x-clickhouse-database') database = utf8(value)
    if (lower === 'x-clickhouse-format') defaultFormat = value
    if (lower === 'content-encoding' && value !== 'identity') encoding = value.toLowerCase()
  }
  return {
    method: request.method ?? 'GET',
    path: mark < 0 ? target : target.slice(0, mark),
    search,
    query: isPlain ? rawQuery : search.toString(),
    headers,
    urlSql: search.get('query') ?? '',
    database: database || search.get('database') || 'default',
    defaultFormat: defaultFormat || search.get('default_format') || 'TabSeparated',
    params,
    queryId: search.get('query_id') ?? '',
    sessionId: search.get('session_id') ?? '',
    own,
    encoding,
  }
}

/** The same headers without one. */
export function withoutHeader(headers: readonly string[], name: string): string[] {
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    if ((headers[i] as string).toLowerCase() !== name)
      kept.push(headers[i] as string, headers[i + 1] as string)
  }
  return kept
}

type Decoder = Transform & { readonly bytesWritten: number }

const DECODERS: ReadonlyMap<string, () => Decoder> = new Map<string, () => Decoder>([
  ['gzip', createGunzip],
  ['deflate', createInflate],
  ['br', createBrotliDecompress],
  ['zstd', createZstdDecompress],
])

/**
 * The body as its text: decompressed if it was compressed. Throws 48 for a compression that is not known; what cannot be
 * decompressed is an error of the stream that leaves the request as it is, which has yet to be answered.
 */
export function decodedBody(request: Readable, encoding: string): Readable {
  if (encoding === '') return request
  const make = DECODERS.get(encoding)
  if (make === undefined) {
    throw new RouterException(
      48,
      'NOT_IMPLEMENTED',
      `Content-Encoding ${encoding} of a statement cannot be read`,
    )
  }
  const decoder = make()
  let bytes = 0
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  request.on('error', (error) => decoder.destroy(error))
  request.on('close', () => {
    if (!request.readableEnded) decoder.destroy(new Error('The request ended before its body did'))
  })
  request.pipe(decoder)
  return Readable.from(
    plain(decoder, encoding, () => bytes),
    { objectMode: false },
  )
}

async function* plain(decoder: Decoder, encoding: string, received: () => number): AsyncGenerator<Buffer> {
  try {
    yield* decoder as AsyncIterable<Buffer>
  } catch (error) {
    const why = (error as Error).message
    throw new RouterException(354, 'ZLIB_INFLATE_FAILED', `The body is not whole ${encoding}: ${why}`)
  }
  // Node ends where the first frame of zstd does.
  if (decoder.bytesWritten < received())
    throw new RouterException(
      48,
      'NOT_IMPLEMENTED',
      `A body of several ${encoding} frames cannot be read: send one`,
    )
}

/** Statements are held in memory up to this size; rows of an INSERT are not. */
export const MAX_STATEMENT_BYTES = 16 << 20
/** An INSERT whose head is longer than this is read on: to the double each time, as all of it is read anew. */
const HEAD_STEP_BYTES = 64 << 10

/**
 * Reads a body that holds a statement: the whole of it, or up to where `isEnough` says that the head of an INSERT is
 * complete. Throws 229 for a statement beyond 16 MiB; `take` is told of what is held.
 */
export function readStatementBody(
  body: Readable,
  isEnough: (text: Buffer) => boolean,
  take: (bytes: number) => void,
): Promise<RequestBody> {
  const { promise, resolve, reject } = Promise.withResolvers<RequestBody>()
  const chunks: Buffer[] = []
  let bytes = 0
  let nextLook = 0
  const all = (): Buffer => (chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks))

  function onData(chunk: Buffer): void {
    chunks.push(chunk)
    bytes += chunk.length
    try {
      take(chunk.length)
      if (bytes >= nextLook) {
        nextLook = 2 * bytes + HEAD_STEP_BYTES
        const head = all()
        if (isEnough(head)) {
          leave()
          resolve({ head, rest: Readable.from(iterate(body), { objectMode: false }) })
        }
      }
      if (bytes > MAX_STATEMENT_BYTES) throw tooLarge()
    } catch (error) {
      leave()
      reject(error instanceof Error ? error : new Error(String(error)))
    }
  }

  function leave(): void {
    body.off('data', onData)
    body.pause()
  }

  body.on('data', onData)
  body.on('end', () => resolve({ head: all(), rest: null }))
  // Whoever reads the rest hears of errors, too.
  body.on('error', reject)
  body.on('close', () => {
    if (!body.readableEnded) reject(new Error('The request ended before its body did'))
  })
  return promise
}

const tooLarge = (): RouterException =>
  new RouterException(
    229,
    'QUERY_IS_TOO_LARGE',
    'The statement is larger than 16 MiB: put INSERT ... FORMAT in the URL and the rows in the body',
  )

/** Without `return`, which would destroy the request: it has yet to be answered. */
async function* iterate(body: Readable): AsyncGenerator<Buffer> {
  const iterator = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  for (;;) {
    const { value, done } = await iterator.next()
    if (done === true) return
    yield value
  }
}
