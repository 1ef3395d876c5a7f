export * from './address.ts'
export * from './columns.ts'
export * from './records.ts'
export * from './wire.ts'
