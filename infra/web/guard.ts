import type { FastifyInstance, FastifyReply } from 'fastify'
import { ForestallError, isError } from '#core/ports'

/**
 * Names under which a browser on this machine (or at the end of a tunnel) asks. A page of another site whose
 * name was made to resolve to 127.0.0.1 (DNS rebinding) sends its own name and is refused.
 */
const HOSTS = new Set(['127.0.0.1', 'localhost', '[::1]'])

/** Nothing from elsewhere, no inline script or style, no frame around the page. */
const CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const HEADERS = {
  'content-security-policy': CSP,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  'cache-control': 'no-store',
} as const

/** True if the Host header (`name:port`) names this machine. */
export const isOwnHost = (host: string | undefined): boolean =>
  host !== undefined && HOSTS.has(host.toLowerCase().replace(/:\d{1,5}$/, ''))

/** HTTP status of an error of the catalogue. */
function statusOf(error: ForestallError): number {
  if (isError(error, 'REQUEST_INVALID')) return 400
  if (isError(error, 'NOT_FOUND')) return 404
  if (isError(error, 'HOST_REFUSED')) return 421
  if (isError(error, 'WAREHOUSE_UNAVAILABLE')) return 503
  return isError(error, 'WAREHOUSE_REJECTED') ? 502 : 500
}

/** What fastify itself refuses (a header too large, a path that cannot be decoded). */
const isRefusedRequest = (error: Error & { statusCode?: number }): boolean =>
  error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500

/** What fastify refuses before any hook has run (an address that cannot be decoded), in the same shape. */
export function answerFrameworkError(error: Error, reply: FastifyReply): void {
  const { code, message, cure } = new ForestallError('REQUEST_INVALID', error.message)
  reply.headers(HEADERS).status(400).send({ code, message, cure })
}

/**
 * Headers on every answer, the check of the Host header, and errors as JSON `{code, message, cure}`. An error
 * that is not of the catalogue is told to `onError` and answered without its text.
 */
export function addGuard(app: FastifyInstance, onError: (error: Error) => void): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(HEADERS)
    if (!isOwnHost(request.headers.host))
      throw new ForestallError('HOST_REFUSED', 'The Host header names another machine.')
  })
  app.setErrorHandler((error: Error & { statusCode?: number }, _, reply) => {
    if (error instanceof ForestallError) {
      const { code, message, cure } = error
      return reply.status(statusOf(error)).send({ code, message, cure })
    }
    if (isRefusedRequest(error)) {
      const { code, message, cure } = new ForestallError('REQUEST_INVALID', error.message)
      return reply.status(error.statusCode ?? 400).send({ code, message, cure })
    }
    onError(error)
    return reply.status(500).send({
      code: 'INTERNAL',
      message: 'The server failed to answer.',
      cure: 'See the log of the process.',
    })
  })
  app.setNotFoundHandler((request) => {
    throw new ForestallError('NOT_FOUND', `Nothing answers ${request.method} at this address.`)
  })
}
