import type { RouteBody } from '#schemas'
import { makeDecision } from '#core/decisions'
import { type Decision, mulberry32, systemClock } from '#core/ports'

const random = mulberry32(11)

/** A decision that sends a stream (`paris>web`) to regions in these shares. */
export function routeDecision(
  shares: Readonly<Record<string, number>>,
  over: Partial<Parameters<typeof makeDecision<RouteBody>>[0]> = {},
): Decision<RouteBody> {
  const { entity = 'paris>web' } = over
  const paths = Object.entries(shares).map(([region, weight], i) => ({
    path_id: `p${i + 1}`,
    region,
    weight,
  }))
  return makeDecision<RouteBody>({
    subsystem: 'traffic-routing',
    entity,
    body: { stream: entity, paths, assignments: [], region_owner: '' },
    previous: null,
    issuedAtMs: systemClock.nowMs(),
    lifeMs: 600_000,
    mode: 'apply',
    reason: { risk: 0.4, drivers: ['test'], q10: 1, q50: 2, q90: 3, cost_now: 2, cost_after: 1 },
    inputs: [],
    modelVersion: 'm1',
    policyVersion: 'p1',
    random,
    ...over,
  })
}
