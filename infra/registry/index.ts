export { createRegistryClient } from './client.ts'
export type { RegistryConnection } from './request.ts'
export type { LogEntry, SchemaLog } from './schema-log.ts'
export { serveLog, startRegistry, type Registry, type RegistryOptions } from './server.ts'
