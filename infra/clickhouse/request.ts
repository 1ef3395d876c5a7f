import type { IncomingMessage } from 'node:http'
import { refusal } from './exceptions.ts'

/** What the URL and headers of a request ask for. */
export interface HttpQuery {
  /** Statement in the URL, '' if it is in the body. */
  readonly urlSql: string
  readonly queryId: string
  readonly database: string
  readonly defaultFormat: string
  readonly settings: ReadonlyMap<string, string>
  readonly params: ReadonlyMap<string, string>
  /** True if the client asked for a gzip answer. */
  readonly gzip: boolean
  /** Compression of the body by ClickHouse's names: none, gzip, zstd, br, deflate. */
  readonly bodyCompression: string
}

/** URL parameters of the HTTP interface that are no settings, or that mean nothing here. */
const NOT_SETTINGS = new Set([
  'query',
  'query_id',
  'database',
  'default_format',
  'user',
  'password',
  'quota_key',
  'role',
  'stacktrace',
  'buffer_size',
  'wait_end_of_query',
  'close_session',
  // Without `session_id`, which is refused, these two mean nothing; proxies send them all the same.
  'session_timeout',
  'session_check',
  'client_protocol_version',
  'enable_http_compression',
  'http_zlib_compression_level',
  'send_progress_in_http_headers',
  'http_headers_progress_interval_ms',
  'cancel_http_readonly_queries_on_client_close',
])
const REFUSED = new Set(['session_id', 'compress', 'decompress'])
const COMPRESSIONS = new Set(['gzip', 'zstd', 'br', 'deflate'])

/** Reads URL and headers. Throws StatementError for what this host does not do. */
export function readRequest(request: IncomingMessage, url: URL, newId: () => string): HttpQuery {
  authenticate(request, url)
  const settings = new Map<string, string>()
  const params = new Map<string, string>()
  for (const [name, value] of url.searchParams) {
    if (REFUSED.has(name) && value !== '0') {
      throw refusal(48, 'NOT_IMPLEMENTED', `The embedded ClickHouse does not know ${name}`)
    }
    if (name.startsWith('param_')) params.set(name.slice('param_'.length), value)
    else if (!NOT_SETTINGS.has(name) && !REFUSED.has(name)) settings.set(name, value)
  }
  // As ClickHouse does: GET must not change anything.
  if (request.method === 'GET' && (settings.get('readonly') ?? '0') === '0') settings.set('readonly', '2')
  const text = (name: string) => url.searchParams.get(name) ?? ''
  const compressed = ['1', 'true'].includes(text('enable_http_compression'))
  return {
    urlSql: text('query'),
    queryId: sendable(text('query_id')) || newId(),
    database: text('database') || header(request, 'x-clickhouse-database') || 'default',
    defaultFormat: text('default_format') || header(request, 'x-clickhouse-format') || 'TabSeparated',
    settings,
    params,
    gzip: compressed && /\bgzip\b/.test(header(request, 'accept-encoding')),
    bodyCompression: compressionOf(header(request, 'content-encoding')),
  }
}

/** An id as a header may hold it, in which it goes back. */
const sendable = (id: string): string => id.replaceAll(/[^\x20-\x7e]/g, '?')

function compressionOf(encoding: string): string {
  if (encoding === '' || encoding === 'identity') return 'none'
  if (!COMPRESSIONS.has(encoding)) {
    throw refusal(48, 'NOT_IMPLEMENTED', `Content-Encoding ${encoding} is not supported`)
  }
  return encoding
}

const header = (request: IncomingMessage, name: string): string => {
  const value = request.headers[name]
  return (Array.isArray(value) ? value[0] : value) ?? ''
}

/** The host knows one user, `default`, without a password; it only listens on the loopback interface. */
function authenticate(request: IncomingMessage, url: URL): void {
  const basic = /^Basic (.+)$/i.exec(header(request, 'authorization'))?.[1]
  const [basicUser = '', ...basicRest] =
    basic === undefined ? [] : Buffer.from(basic, 'base64').toString().split(':')
  const user = basicUser || header(request, 'x-clickhouse-user') || url.searchParams.get('user') || 'default'
  const password =
    basicRest.join(':') || header(request, 'x-clickhouse-key') || (url.searchParams.get('password') ?? '')
  if (user !== 'default' || password !== '') {
    throw refusal(
      516,
      'AUTHENTICATION_FAILED',
      'Authentication failed: the embedded ClickHouse has one user, default, without a password',
    )
  }
  // A web page that a browser on this machine shows must not reach the database.
  if (header(request, 'sec-fetch-site') === 'cross-site' || !isLoopback(header(request, 'host'))) {
    throw refusal(497, 'ACCESS_DENIED', 'Only clients of this machine may connect')
  }
}

function isLoopback(host: string): boolean {
  const name = host.replace(/:\d+$/, '')
  return name === '' || name === 'localhost' || name === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(name)
}
