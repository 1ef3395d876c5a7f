import type { DataShardBody } from '#schemas'
import { type Decision, type DecisionApplier, ForestallError } from '#core/ports'
import type { Mover } from './mover.ts'

/** Shares of a segment's reads, by instance. */
export type SegmentWeights = ReadonlyMap<string, number>

/** What the decisions of a service are put into. */
export interface ShardTarget {
  readonly service: string
  readonly segments: number
  readonly mover: Mover
  /** Shares of reads that a decision asks for; null: back to equal ones. */
  readonly onWeights: (segment: number, weights: SegmentWeights | null) => void
}

/**
 * Puts decisions of `decisions.data.shards` into force: shares of reads at once, moves one after another. A decision
 * counts as applied once all its moves are switched. Reverting changes the shares only: where rows are does not expire.
 * Throws DATA_PLANE_REFUSED for a decision of another layout, and with the reason for moves that fail.
 */
export function createShardApplier(target: ShardTarget): DecisionApplier<DataShardBody> {
  const { service, segments, mover } = target
  return {
    async apply({ body }: Decision<DataShardBody>) {
      if (body.service !== service || body.segments !== segments) {
        throw new ForestallError(
          'DATA_PLANE_REFUSED',
          `The decision is about ${body.service} in ${body.segments} segments, this is ${service} in ${segments}.`,
        )
      }
      target.onWeights(body.segment, new Map(body.replicas.map((r) => [r.instance, r.weight])))
      for (const move of body.moves) {
        const { phase, reason } = await mover.move(body.segment, move)
        if (phase === 'failed') {
          throw new ForestallError('DATA_PLANE_REFUSED', `${move.move_id} has failed: ${reason}.`)
        }
      }
      return { readers: mover.readers(body.segment).join(' '), moves: String(body.moves.length) }
    },
    revert(entity) {
      const segment = Number(entity.slice(entity.lastIndexOf('/') + 1))
      if (entity === `${service}/${entity.slice(entity.lastIndexOf('/') + 1)}` && Number.isInteger(segment))
        target.onWeights(segment, null)
      return Promise.resolve()
    },
  }
}
