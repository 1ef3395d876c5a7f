export * from './adapter.ts'
export type { JsonFieldMap } from './json.ts'
export type { RegionPrefix } from './regions.ts'
export * from './bridge.ts'
