import type { DataShardBody } from '#schemas'
import { type DecisionApplier, type DecisionSource, ForestallError } from '#core/ports'
import {
  type AppliedReader,
  type PlacementTable,
  replicaOrder,
} from '../pipelines/data-sharding/dataplane.ts'

/** The decisions about one service: others on the topic are another router's. */
export function ofService<Body>(source: DecisionSource<Body>, service: string): DecisionSource<Body> {
  return {
    ...source,
    start: (handler) =>
      source.start({
        ...handler,
        onDecision: (event) =>
          event.entity.startsWith(`${service}/`) ? handler.onDecision(event) : undefined,
      }),
  }
}

/**
 * Puts decisions about segments into force at a router: reads go to the replicas that serve and hold the segment. A
 * replica that has yet to be filled is left out; filling it is a move.
 */
export function placementApplier(
  placement: PlacementTable,
  names: readonly string[],
  applied: readonly AppliedReader[],
  replicas: number,
): DecisionApplier<DataShardBody> {
  const order = replicaOrder(placement.segments, names.length, replicas)
  const holds = (instance: string, segment: number): boolean =>
    applied[names.indexOf(instance)]?.segments().includes(segment) === true

  function put(segment: number, wanted: readonly { instance: string; weight: number }[]): string {
    const ready = wanted.filter(({ instance }) => holds(instance, segment))
    if (ready.length === 0) {
      throw new ForestallError(
        'DATA_PLANE_REFUSED',
        `No replica that is to serve segment ${segment} holds it: move it first.`,
      )
    }
    placement.set(segment, ready)
    return ready.map(({ instance }) => instance).join(',')
  }

  return {
    async apply({ body }) {
      if (body.segments !== placement.segments) {
        throw new ForestallError(
          'DATA_PLANE_REFUSED',
          `The decision counts ${body.segments} segments, the router ${placement.segments}.`,
        )
      }
      return {
        readable: put(
          body.segment,
          body.replicas.filter(({ state }) => state !== 'warming'),
        ),
      }
    },
    async revert(entity) {
      const segment = Number(entity.slice(entity.lastIndexOf('/') + 1))
      const usual = (order[segment] ?? []).map((i) => ({ instance: names[i] as string, weight: 1 }))
      if (usual.some(({ instance }) => holds(instance, segment))) put(segment, usual)
    },
  }
}
