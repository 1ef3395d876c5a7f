import type { Ack, RouteBody } from '#schemas'
import { type Decision, type DecisionApplier, ForestallError } from '#core/ports'
import type { RouteTable } from './route-table.ts'

/**
 * Puts the decisions of a follower into a route table. Key of a decision = stream. The ack says how many shards and
 * paths there are and how much of the ring changed its path.
 */
export function createRouteApplier(table: RouteTable): DecisionApplier<RouteBody> {
  const answer = (decision: Decision<RouteBody>, change: () => number): Promise<Ack['observed']> => {
    const { entity, body } = decision
    return new Promise((resolve) => {
      if (entity !== body.stream)
        throw new ForestallError(
          'DATA_PLANE_REFUSED',
          `decision for ${entity} holds routes of ${body.stream}`,
        )
      resolve({
        shards: String(body.assignments.length),
        paths: String(body.paths.length),
        changed_ring: change().toFixed(6),
      })
    })
  }
  return {
    apply: (decision) => answer(decision, () => table.apply(decision.body, decision.decision_id)),
    revert: (entity) => Promise.resolve(table.revert(entity)),
    preview: (decision) => answer(decision, () => table.preview(decision.body)),
  }
}
