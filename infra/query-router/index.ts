export { createSegmentStore, type HttpSegmentStore } from './segment-store.ts'
export { createHttpReplica, type HttpReplica } from './replica.ts'
export * from './ports.ts'
export { type QueryRouter, type QueryRouterOptions, startQueryRouter } from './server.ts'
