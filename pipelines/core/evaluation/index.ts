export * from './report.ts'
export * from './stats.ts'
