export * from './ack-sender.ts'
export * from './source.ts'
export * from './reader.ts'
