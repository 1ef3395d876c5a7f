export * from './live-coverage.ts'
export * from './score.ts'
export * from './seasonal-naive.ts'
export * from './width-tracker.ts'
