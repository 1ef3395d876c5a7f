export * from './poller.ts'
export * from './rules.ts'
export * from './table.ts'
