import type { AppliedPositions } from '#core/ports'
import type { AppliedReader } from './applier.ts'
import { partitionOfSegment } from './blocks.ts'

/** What the replicas of a service have applied: numbers of instances, as everywhere in the router. */
export interface AppliedView extends AppliedPositions {
  /** Instances that apply a segment. */
  holders(segment: number): number[]
}

/** A view of appliers here or elsewhere; the number of an instance is its place in the list. */
export function createAppliedView(appliers: readonly AppliedReader[], partitions: number): AppliedView {
  const nextOf = (instance: number, segment: number): number => appliers[instance]?.nextOf(segment) ?? -1

  return {
    holders: (segment) => appliers.flatMap((_, i) => (nextOf(i, segment) >= 0 ? [i] : [])),
    needsOf(segments, positions) {
      const needs = new Map<number, number>()
      for (const s of segments) {
        const next = positions.get(partitionOfSegment(s, partitions))
        if (next !== undefined) needs.set(s, next)
      }
      return needs
    },
    freshOf: (candidates, needs) =>
      candidates.filter((i) => [...needs].every(([segment, next]) => nextOf(i, segment) >= next)),
    async untilFresh(candidates, needs, signal) {
      const end = new AbortController()
      const either = AbortSignal.any([signal, end.signal])
      const whole = async (instance: number): Promise<void> => {
        const applier = appliers[instance]
        const waits = [...needs].map(
          ([segment, next]) => applier?.reached(segment, next, either) ?? Promise.resolve(false),
        )
        if ((await Promise.all(waits)).includes(false)) throw new Error('not reached')
      }
      try {
        await Promise.any(candidates.map(whole))
        return true
      } catch {
        return false
      } finally {
        end.abort()
      }
    },
  }
}
