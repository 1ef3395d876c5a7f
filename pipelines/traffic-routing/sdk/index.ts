/**
 * What an application loads to be told where its traffic goes: a table in memory, fed by a follower. No solver, no
 * model, no Kafka client of its own.
 */
export { hashFiveTuple as flowHash } from '#core/math'
export { createRouteApplier } from './route-applier.ts'
export { createRouteTable, type DefaultRoute, type RouteTable, type RouteTableConfig } from './route-table.ts'
export type { Route } from './stream-table.ts'
