export * from './ack-sender.ts'
export * from './broker-source.ts'
export * from './counters.ts'
export * from './follower.ts'
