export * from './fields.ts'
export * from './rounds.ts'
export * from './settings.ts'
export * from './windows.ts'
