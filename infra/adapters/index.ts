export * from './goflow2/index.ts'
