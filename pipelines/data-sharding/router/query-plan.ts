import type { PlannedRequest, QueryPlan, TableRule } from '#core/ports'
import type { PlacementTable } from './placement.ts'
import type { Route, StatementRouter } from './route.ts'
import { keyFilters, segmentFilters } from './segment-sql.ts'

/** Plans requests by statement and placement. */
export interface QueryPlanner {
  plan(request: PlannedRequest): QueryPlan
}

/**
 * A planner; `everyone` gives the instances that there are now, `home` is that of the tables that are not sharded.
 * `isOut`: whether an instance does not answer at present.
 */
export function createQueryPlanner(
  router: StatementRouter,
  placement: PlacementTable,
  everyone: () => readonly number[],
  home: number,
  isOut: (instance: number) => boolean = () => false,
): QueryPlanner {
  function bySegments({ segments, keys, narrowed, operation }: Route & { kind: 'segments' }): QueryPlan {
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
    const filters = narrowed.length === 0 ? '' : keyFilters(narrowed, keys)
    return {
      kind: 'one',
      candidates,
      weights,
      segments,
      keys,
      filters,
      isRead: true,
      isGuarded: false,
      operation,
    }
  }

  /** Each segment to the instance that has the fewest so far, of those that answer if any does. */
  function byParts(table: TableRule, format: string): QueryPlan {
    const parts = new Map<number, number[]>()
    const outWeight = (i: number): number => (isOut(i) ? placement.segments : 0)
    for (let s = 0; s < placement.segments; s++) {
      const sizes = placement.readable(s).map((i) => [(parts.get(i)?.length ?? 0) + outWeight(i), i] as const)
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
      format,
      parts: [...parts].map(([instance, segments]) => ({
        instance,
        segments,
        filters: segmentFilters([table], placement.segments, segments),
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
            filters: '',
            isRead,
            isGuarded,
            operation,
          }
        }
        case 'segments':
          return bySegments(route)
        case 'fan-out':
          return byParts(route.table, route.format)
        case 'insert':
          return { kind: 'insert', rule: route.rule, statement: route.statement, candidates: everyone() }
        default:
          return route
      }
    },
  }
}
