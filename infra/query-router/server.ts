import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { TableRule } from '#core/ports'
import type { HandlerDeps, HandlerOptions } from './context.ts'
import { createQueryHandler } from './handler.ts'
import { createProbes } from './probes.ts'
import { createStaging } from './staging.ts'
import { createUpstream } from './upstream.ts'
import type { DispatchCounters } from './dispatch.ts'

/** Settings of a query router. */
export interface QueryRouterOptions
  extends Omit<HandlerDeps, 'upstreams' | 'names' | 'staging' | 'nowMs' | 'options'> {
  readonly instances: readonly { readonly name: string; readonly url: string }[]
  readonly options?: Partial<HandlerOptions>
  /** Whether a key column has the type that its rule says. */
  readonly fitsKey: (rule: TableRule, columnType: string) => boolean
  /** Default: any free port. */
  readonly port?: number
  /** Default 127.0.0.1. */
  readonly host?: string
  /** How long the head of a request may take, ms. Default 60,000. */
  readonly headersWithinMs?: number
}

/** A running query router. */
export interface QueryRouter {
  /** Base URL, for clients. */
  readonly url: string
  readonly counters: DispatchCounters
  /** Makes another instance known; returns its number. It gets nothing before it is one of the `members`. */
  add(instance: { readonly name: string; readonly url: string }): number
  /** Closes the connections of an instance that is no member any more, once what is under way has had time to end. */
  remove(instance: number): void
  /** Ends when the requests under way are answered; drops its staging tables. */
  stop(): Promise<void>
}

const DEFAULTS: HandlerOptions = {
  hedge: false,
  acknowledge: 'first',
  allowsExpressions: false,
  bindsSessions: true,
  freshWithinMs: 10_000,
  allowsChanges: false,
}
/** How long a stop waits for the requests under way. */
const STOP_MS = 10_000
const CLOSE_IDLE_MS = 20

/** Starts a router: a proxy that speaks ClickHouse's HTTP protocol in front of several instances. */
export async function startQueryRouter(options: QueryRouterOptions): Promise<QueryRouter> {
  const upstreams = options.instances.map(({ url }) => createUpstream(url))
  const names = options.instances.map(({ name }) => name)
  const { headersWithinMs = 60_000 } = options
  const nowMs = (): number => performance.now()
  const staging = createStaging(upstreams, options.credentials, options.fitsKey)
  const handler = createQueryHandler({
    ...options,
    upstreams,
    names,
    staging,
    nowMs,
    options: { ...DEFAULTS, ...options.options },
  })
  const probes = createProbes(upstreams, options.members, options.picker, options.credentials, nowMs)
  const server = createServer(
    {
      maxHeaderSize: 1 << 20,
      keepAliveTimeout: 30_000,
      requestTimeout: 0,
      // Without a limit for requests Node has none for their heads either.
      headersTimeout: headersWithinMs,
      connectionsCheckingInterval: headersWithinMs / 2,
      noDelay: true,
    },
    (request, response) => void handler.handle(request, response),
  )
  await listen(server, options.port ?? 0, options.host ?? '127.0.0.1')
  probes.start()
  void staging.sweep()
  const { address, port } = server.address() as AddressInfo
  return {
    url: `http://${address.includes(':') ? `[${address}]` : address}:${port}`,
    counters: handler.counters,
    add({ name, url }) {
      names.push(name)
      return upstreams.push(createUpstream(url)) - 1
    },
    remove(instance) {
      setTimeout(() => upstreams[instance]?.close(), STOP_MS).unref()
    },
    async stop() {
      probes.stop()
      const closed = new Promise<void>((done) => server.close(() => done()))
      server.closeIdleConnections()
      // What is under way ends first; its connection must not be kept for another request.
      const looking = setInterval(() => server.closeIdleConnections(), CLOSE_IDLE_MS)
      const patience = setTimeout(() => server.closeAllConnections(), STOP_MS)
      await closed
      clearInterval(looking)
      clearTimeout(patience)
      await staging.close()
      for (const upstream of upstreams) upstream.close()
    },
  }
}

const listen = (server: Server, port: number, host: string): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
