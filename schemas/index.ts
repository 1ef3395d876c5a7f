export * from './records.ts'
export * from './tables.ts'
export * from './topics.ts'
export * from './views.ts'
