import type { PlacementTable } from './placement.ts'
import type { Refusal, RoutedRequest, StatementRouter } from './route.ts'
import type { TableRule } from './rules.ts'
import { segmentFilters } from './segment-sql.ts'
import type { Statement } from './statement.ts'

/** A statement for one instance out of several. */
export interface OneInstance {
  readonly kind: 'one'
  /** Numbers of the instances that can answer it. */
  readonly candidates: readonly number[]
  /** Shares that the forecast would give them; empty if it says nothing. */
  readonly weights: readonly number[]
  /** Segments that it reads; what a session has written to them must be seen. */
  readonly segments: readonly number[]
  /** The shard keys that it asks for. */
  readonly keys: readonly string[]
  /** Reads only: may be sent twice. */
  readonly isRead: boolean
  /** Whether it must be kept from changing the instance. */
  readonly isGuarded: boolean
  /** Names statements of the same form. */
  readonly operation: string
}

/** A part of a read that several instances answer together. */
export interface PlanPart {
  readonly instance: number
  readonly segments: readonly number[]
  /** Value of the setting `additional_table_filters`. */
  readonly filters: string
}

/** What to do with a request. */
export type QueryPlan =
  | OneInstance
  | { readonly kind: 'parts'; readonly parts: readonly PlanPart[] }
  | {
      readonly kind: 'insert'
      readonly rule: TableRule
      readonly statement: Statement & { kind: 'insert' }
      /** Instances that can parse the rows. */
      readonly candidates: readonly number[]
    }
  | { readonly kind: 'change'; readonly verb: string }
  | { readonly kind: 'broadcast' }
  | Refusal

/** Plans requests by statement and placement. */
export interface QueryPlanner {
  plan(request: RoutedRequest): QueryPlan
}

/** A planner; `everyone` gives the instances that there are now, `home` is that of the tables that are not sharded. */
export function createQueryPlanner(
  router: StatementRouter,
  placement: PlacementTable,
  everyone: () => readonly number[],
  home: number,
): QueryPlanner {
  function bySegments(segments: readonly number[], keys: readonly string[], operation: string): QueryPlan {
    const candidates = segments.length === 0 ? everyone() : placement.readableForAll(segments)
    if (candidates.length === 0) {
      const missing = segments.find((s) => placement.readable(s).length === 0)
      return missing === undefined
        ? {
            kind: 'refuse',
            code: 36,
            name: 'BAD_ARGUMENTS',
            message:
              'The keys of the query lie on several instances, none of which has all of them: ask for them one by one',
          }
        : {
            kind: 'refuse',
            code: 279,
            name: 'ALL_CONNECTION_TRIES_FAILED',
            message: `Segment ${missing} lies on no instance`,
          }
    }
    const [only] = segments
    const weights = segments.length === 1 && only !== undefined ? placement.weights(only) : []
    return { kind: 'one', candidates, weights, segments, keys, isRead: true, isGuarded: false, operation }
  }

  /** Each segment to the instance that has the fewest so far. */
  function byParts(tables: readonly TableRule[]): QueryPlan {
    const parts = new Map<number, number[]>()
    for (let s = 0; s < placement.segments; s++) {
      const sizes = placement.readable(s).map((i) => [parts.get(i)?.length ?? 0, i] as const)
      const [best] = sizes.sort((a, b) => a[0] - b[0])
      if (best === undefined) {
        const message = `Segment ${s} lies on no instance`
        return { kind: 'refuse', code: 279, name: 'ALL_CONNECTION_TRIES_FAILED', message }
      }
      const list = parts.get(best[1])
      if (list === undefined) parts.set(best[1], [s])
      else list.push(s)
    }
    return {
      kind: 'parts',
      parts: [...parts].map(([instance, segments]) => ({
        instance,
        segments,
        filters: segmentFilters(tables, placement.segments, segments),
      })),
    }
  }

  return {
    plan(request) {
      const route = router.route(request)
      switch (route.kind) {
        case 'any':
        case 'home': {
          const { isRead, operation } = route
          const candidates = route.kind === 'any' ? everyone() : [home]
          const isGuarded = route.kind === 'any' && !isRead && !route.mayChange
          return {
            kind: 'one',
            candidates,
            weights: [],
            segments: [],
            keys: [],
            isRead,
            isGuarded,
            operation,
          }
        }
        case 'segments':
          return bySegments(route.segments, route.keys, route.operation)
        case 'fan-out':
          return byParts(route.tables)
        case 'insert':
          return { kind: 'insert', rule: route.rule, statement: route.statement, candidates: everyone() }
        default:
          return route
      }
    },
  }
}
