import { randomUUID } from 'node:crypto'
import { ask, headerOf, literal } from './ask.ts'
import type { Upstream, UpstreamRequest } from './upstream.ts'

/** A read that can be ended where it runs. */
export interface KillableRead {
  readonly request: UpstreamRequest
  /** Ends it at an instance; whether that works is not waited for. */
  kill(upstream: Upstream): void
}

const HAS_ID = /[?&]query_id=[^&]/
const QUERY_PATH = /^\/(?:query)?(?:\?|$)/
const CREDENTIALS = /^(?:authorization|x-clickhouse-(?:user|key|ssl-certificate-auth))$/i

/**
 * Gives a read an id unless the client has. A server goes on with a query whose client has gone (but for
 * `cancel_http_readonly_queries_on_client_close`, which needs `readonly` as well); it is killed by its id, in the name of
 * its own user, who needs no grant for that.
 */
export function createKillableRead(request: UpstreamRequest): KillableRead {
  const { path, headers } = request
  if (!QUERY_PATH.test(path)) return { request, kill: () => undefined }
  // An id in the URL would count for more than the client's in the header.
  const named = headerOf(headers, 'x-clickhouse-query-id')
  const isNamed = HAS_ID.test(path) || named !== ''
  const id = isNamed ? named : randomUUID()
  const withId = isNamed ? path : `${path}${path.includes('?') ? '&' : '?'}query_id=${id}`
  return {
    request: { ...request, path: withId },
    kill(upstream) {
      const asked = new URLSearchParams(path.slice(path.indexOf('?') + 1))
      const search: Record<string, string> = {}
      for (const name of ['user', 'password']) {
        const value = asked.get(name)
        if (value !== null) search[name] = value
      }
      const sql = `KILL QUERY WHERE query_id = ${literal(asked.get('query_id') ?? id)} ASYNC`
      void ask(upstream, { sql, search, headers: credentialsIn(headers) }).catch(() => undefined)
    },
  }
}

function credentialsIn(headers: readonly string[]): string[] {
  const found: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    if (CREDENTIALS.test(headers[i] as string)) found.push(headers[i] as string, headers[i + 1] as string)
  }
  return found
}
