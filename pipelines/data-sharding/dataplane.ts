/**
 * What a data-plane process of this subsystem loads: the query router's decisions and the write log with its appliers.
 * No forecast, no planner, no stream runtime.
 */
export * from './log/index.ts'
export * from './moves/index.ts'
export * from './reports/index.ts'
export * from './router/index.ts'
