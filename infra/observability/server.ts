import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type Collect, createExposition } from './exposition.ts'

/** A server of metrics, for a process that has no other. */
export interface MetricsServer {
  /** With the path. */
  readonly url: string
  /** Safe to call twice. */
  stop(): Promise<void>
}

/** Serves `GET /metrics`, on the loopback interface unless told otherwise. Rejects with EADDRINUSE if the port is taken. */
export async function startMetricsServer(options: {
  /** 0: any free port. */
  readonly port: number
  readonly host?: string
  readonly collect: Collect
  /** A scrape failed; the next is tried. */
  readonly onError: (error: Error) => void
}): Promise<MetricsServer> {
  const { port, host = '127.0.0.1', collect, onError } = options
  const exposition = createExposition(collect)
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end('GET /metrics\n')
      return
    }
    exposition.text().then(
      (text) => response.writeHead(200, { 'content-type': exposition.contentType }).end(text),
      (error: unknown) => {
        onError(error as Error)
        response.writeHead(500).end('The metrics could not be read; see the log of the process.\n')
      },
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, resolve)
  })
  const { address, port: bound } = server.address() as AddressInfo
  let stopped: Promise<void> | undefined
  return {
    url: `http://${address.includes(':') ? `[${address}]` : address}:${bound}/metrics`,
    stop: () =>
      (stopped ??= new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })),
  }
}
