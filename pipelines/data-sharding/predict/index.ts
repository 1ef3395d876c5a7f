export * from './pooled.ts'
export * from './rls.ts'
export * from './state.ts'
export * from './total.ts'
