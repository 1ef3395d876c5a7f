export { startWeb, type WebOptions, type WebServer } from './server.ts'
export type { FollowerStatus, PartStatus, WebCounters, WebStatus, WorkerStatus } from './status.ts'
