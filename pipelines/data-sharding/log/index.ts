/** The write log of sharded tables: blocks, the writer, and the applier of each replica. */
export * from './applied-view.ts'
export * from './applied-watch.ts'
export * from './applier.ts'
export {
  blockForAll,
  createBlockCutter,
  type InsertHead,
  insertId,
  insertOf,
  type LogLayout,
  MAX_BLOCK_BYTES,
  partitionOfSegment,
  type PlacedBlock,
} from './blocks.ts'
export * from './first-states.ts'
export * from './log-writer.ts'
export * from './session-token.ts'
export * from './write-path.ts'
