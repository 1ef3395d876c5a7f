/** Moves of segments between instances: copy, join the log, verify, switch, and back while it is reversible. */
export * from './decision-applier.ts'
export * from './move-log.ts'
export * from './move-watch.ts'
export * from './mover.ts'
export type { MovePeer } from './phases.ts'
export { readersOf } from './readers.ts'
