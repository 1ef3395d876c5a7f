export * from './applier.ts'
export * from './client.ts'
export * from './process.ts'
export type { ServerState, StatRow } from './tables.ts'
