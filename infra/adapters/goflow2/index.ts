export * from './adapter.ts'
export * from './bridge.ts'
