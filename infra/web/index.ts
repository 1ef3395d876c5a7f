export { startWeb, type WebOptions, type WebServer } from './server.ts'
export type {
  DataStatus,
  FollowerStatus,
  PartStatus,
  WebCounters,
  WebStatus,
  WorkerStatus,
} from './status.ts'
