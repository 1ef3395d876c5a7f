import fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import type { Broker } from '#core/ports'
import { addRoutes } from './routes.ts'
import { brokerSchemaLog, type SchemaLog } from './schema-log.ts'
import { openService } from './service.ts'

/** A running registry. */
export interface Registry {
  readonly url: string
  stop(): Promise<void>
}

/** Settings of the embedded registry. */
export interface RegistryOptions {
  /** Keeps the schemas; stays open when the registry stops. */
  broker: Broker
  /** Default: any free one. Always on 127.0.0.1. */
  port?: number
  /** Default `_forestall_schemas`. */
  topic?: string
}

/** Serves a schema log over HTTP on 127.0.0.1. */
export async function serveLog(log: SchemaLog, port = 0): Promise<Registry> {
  // Clients keep connections open; closing must not wait for them.
  const app = fastify({ forceCloseConnections: true })
  addRoutes(app, await openService(log))
  await app.listen({ host: '127.0.0.1', port })
  const address = app.server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${address.port}`,
    async stop() {
      await app.close()
      await log.close()
    },
  }
}

/**
 * Starts the embedded schema registry (Confluent's REST API) in this process. Schemas live in a compacted
 * topic, so ids survive restarts; a registry that starts later on the same topic takes over, and the older one
 * answers writes with error 50003.
 */
export function startRegistry({
  broker,
  port,
  topic = '_forestall_schemas',
}: RegistryOptions): Promise<Registry> {
  return serveLog(brokerSchemaLog(broker, topic), port)
}
