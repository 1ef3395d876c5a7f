export * from './goflow2/index.ts'
export * from './probes/index.ts'
export * from './query-log/index.ts'
export * from './tabular/index.ts'
