export * from './codec.ts'
export * from './patterns.ts'
export * from './pooled.ts'
export * from './total.ts'
