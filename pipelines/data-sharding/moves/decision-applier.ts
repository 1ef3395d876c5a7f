import type { DataMove, DataShardBody } from '#schemas'
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
 * Puts decisions of `decisions.data.shards` into force: shares of reads at once, then whatever moves lead from the
 * instances that answer reads now to those that the decision wants. Its own moves give them their names; a decision
 * that comes after one that was never put into force has fewer. It counts as applied once all moves are switched.
 * Reverting changes the shares only: where rows are does not expire. Throws DATA_PLANE_REFUSED for a decision of
 * another layout, and with the reason for moves that fail.
 */
export function createShardApplier(target: ShardTarget): DecisionApplier<DataShardBody> {
  const { service, segments, mover } = target
  return {
    async apply({ body, entity, epoch }: Decision<DataShardBody>) {
      if (body.service !== service || body.segments !== segments) {
        throw new ForestallError(
          'DATA_PLANE_REFUSED',
          `The decision is about ${body.service} in ${body.segments} segments, this is ${service} in ${segments}.`,
        )
      }
      const wanted = body.replicas.filter(({ state }) => state !== 'draining')
      target.onWeights(body.segment, new Map(wanted.map((r) => [r.instance, r.weight])))
      // What was asked for before decides who answers reads now.
      await mover.switched(body.segment)
      const moves = movesTo(
        mover.readers(body.segment),
        wanted.map(({ instance }) => instance),
      )
      for (const { kind, from, to } of moves) {
        const named = body.moves.find((move) => move.kind === kind && move.from === from && move.to === to)
        const move_id = named?.move_id ?? `${entity}/${from}-${to}/${epoch}`
        const { phase, reason } = await mover.move(body.segment, { move_id, kind, from, to })
        if (phase === 'failed')
          throw new ForestallError('DATA_PLANE_REFUSED', `${move_id} has failed: ${reason}.`)
      }
      return { readers: mover.readers(body.segment).join(' '), moves: String(moves.length) }
    },
    revert(entity) {
      const segment = Number(entity.slice(entity.lastIndexOf('/') + 1))
      if (entity.startsWith(`${service}/`) && Number.isInteger(segment)) target.onWeights(segment, null)
      return Promise.resolve()
    },
  }
}

/** Moves that lead from some readers to others: one for one, then copies from a reader that stays, then drops. */
export function movesTo(readers: readonly string[], wanted: readonly string[]): Omit<DataMove, 'move_id'>[] {
  const missing = wanted.filter((name) => !readers.includes(name))
  const surplus = readers.filter((name) => !wanted.includes(name))
  const both = Math.min(missing.length, surplus.length)
  const source = wanted.find((name) => readers.includes(name)) ?? missing[0] ?? ''
  return [
    ...missing.slice(0, both).map((to, i) => ({ kind: 'move' as const, from: surplus[i] as string, to })),
    ...missing.slice(both).map((to) => ({ kind: 'copy' as const, from: source, to })),
    ...surplus.slice(both).map((from) => ({ kind: 'drop' as const, from, to: '' })),
  ]
}
