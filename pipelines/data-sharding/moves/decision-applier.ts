import type { DataMove, DataShardBody } from '#schemas'
import { type Decision, type DecisionApplier, ForestallError, isError } from '#core/ports'
import type { Mover } from './mover.ts'

/** Shares of a segment's reads, by instance. */
export type SegmentWeights = ReadonlyMap<string, number>

/** What the decisions of a service are put into. */
export interface ShardTarget {
  readonly service: string
  readonly segments: number
  readonly mover: Mover
  /** Resolves once an instance of that name can take part in moves. Rejects if there is none. */
  readonly ready: (instance: string) => Promise<void>
  /** Shares of reads that a decision asks for; null: back to equal ones. */
  readonly onWeights: (segment: number, weights: SegmentWeights | null) => void
}

/**
 * Puts decisions of `decisions.data.shards` into force: shares of reads at once, then whatever moves lead from the
 * instances that answer reads now to those that the decision wants. Its own moves give them their names; a decision
 * that comes after one that was never put into force has fewer. It counts as applied once all moves are switched.
 * Reverting changes the shares only: where rows are does not expire. Throws DATA_PLANE_REFUSED for a decision of
 * another layout or without replicas, and with the reason for moves that fail; DATA_PLANE_UNREACHABLE for whatever may
 * pass, a stop among it: what has begun is gone on with, not rolled back.
 */
export function createShardApplier(target: ShardTarget): DecisionApplier<DataShardBody> {
  const { service, segments, mover } = target

  async function moveOn(decision: Decision<DataShardBody>, wanted: readonly string[]): Promise<number> {
    const { body, entity, epoch } = decision
    for (const name of wanted) await target.ready(name)
    const made = new Set<string>()
    for (;;) {
      // What was asked for before decides who answers reads now.
      await mover.switched(body.segment)
      const [next] = movesTo(mover.readers(body.segment), wanted)
      if (next === undefined) return made.size
      const { kind, from, to } = next
      const named = body.moves.find((move) => move.kind === kind && move.from === from && move.to === to)
      const move_id = named?.move_id ?? `${entity}/${from}-${to}/${epoch}`
      if (made.has(move_id)) throw new ForestallError('REPLICA_LATE', `${move_id} has not led there yet.`)
      made.add(move_id)
      const { phase, reason } = await mover.move(body.segment, { move_id, kind, from, to })
      if (phase === 'failed')
        throw new ForestallError('DATA_PLANE_REFUSED', `${move_id} has failed: ${reason}.`)
    }
  }

  return {
    async apply(decision) {
      const { body } = decision
      const wanted = body.replicas.filter(({ state }) => state !== 'draining')
      const refusal =
        body.service !== service || body.segments !== segments
          ? `The decision is about ${body.service} in ${body.segments} segments, this is ${service} in ${segments}.`
          : wanted.length === 0
            ? 'The decision leaves the segment without a replica.'
            : ''
      if (refusal !== '') throw new ForestallError('DATA_PLANE_REFUSED', refusal)
      target.onWeights(body.segment, new Map(wanted.map((r) => [r.instance, r.weight])))
      try {
        const names = wanted.map(({ instance }) => instance)
        const moves = await moveOn(decision, names)
        return { readers: mover.readers(body.segment).join(' '), moves: String(moves) }
      } catch (error) {
        if (isError(error, 'DATA_PLANE_REFUSED')) throw error
        const text = error instanceof Error ? error.message : String(error)
        throw new ForestallError('DATA_PLANE_UNREACHABLE', text, { cause: error })
      }
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
