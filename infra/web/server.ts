import fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import type { Warehouse } from '#core/ports'
import { addApi } from './api.ts'
import { addAssets } from './assets.ts'
import { addGuard, answerFrameworkError } from './guard.ts'
import type { WebStatus } from './status.ts'
import type { Exposition } from '../observability/index.ts'

/** Settings of `startWeb`. */
export interface WebOptions {
  /** 0 (default): any free port. */
  readonly port?: number
  /** Only the loopback interface: the page has no users and no passwords. */
  readonly host?: '127.0.0.1'
  /** Read only; stays open when the server stops. */
  readonly warehouse: Warehouse
  /** Called for every request of `/api/status`; must be quick. */
  readonly status: () => WebStatus
  /** What `/metrics` answers, in the Prometheus format; absent: nothing. */
  readonly metrics?: Exposition
  /** Title of the page. Default `Forestall`. */
  readonly title?: string
  /** Told of errors that are not of the catalogue. Default: standard error. */
  readonly onError?: (error: Error) => void
}

/** A running server. */
export interface WebServer {
  readonly url: string
  /** Ends open connections; may be called twice. */
  stop(): Promise<void>
}

const MAX_URL_BYTES = 2048

/** Starts the page and its API on the loopback interface. Rejects with EADDRINUSE if the port is taken. */
export async function startWeb(options: WebOptions): Promise<WebServer> {
  const { port = 0, host = '127.0.0.1', title = 'Forestall', onError = console.error } = options
  const app = fastify({
    // Browsers keep connections open; closing must not wait for them.
    forceCloseConnections: true,
    routerOptions: { maxParamLength: MAX_URL_BYTES },
    requestTimeout: 10_000,
    bodyLimit: 1,
    frameworkErrors: (error, _, reply) => answerFrameworkError(error, reply),
  })
  addGuard(app, onError)
  addAssets(app, title)
  addApi(app, options)
  const { metrics } = options
  if (metrics)
    app.get('/metrics', async (_, reply) => reply.type(metrics.contentType).send(await metrics.text()))
  await app.listen({ host, port })
  const address = app.server.address() as AddressInfo
  return {
    url: `http://${host}:${address.port}`,
    stop: () => app.close(),
  }
}
