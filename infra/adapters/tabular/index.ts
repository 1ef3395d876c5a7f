export * from './flows.ts'
