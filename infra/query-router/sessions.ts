import { createHash } from 'node:crypto'

/** What the sessions of ClickHouse's protocol (`session_id`) have written, as far as it is remembered. */
export interface SessionMemory {
  positions(session: string): ReadonlyMap<number, number>
  note(session: string, written: ReadonlyMap<number, number>): void
}

/** Remembers the sessions that have written last, up to `capacity`. */
export function createSessionMemory(capacity = 10_000): SessionMemory {
  const bySession = new Map<string, Map<number, number>>()
  // Clients choose the names, which may be long.
  const keyOf = (session: string): string => createHash('sha256').update(session).digest('base64')
  return {
    positions: (session) => bySession.get(keyOf(session)) ?? new Map<number, number>(),
    note(name, written) {
      const session = keyOf(name)
      const known = bySession.get(session) ?? new Map<number, number>()
      for (const [partition, next] of written) known.set(partition, Math.max(next, known.get(partition) ?? 0))
      bySession.delete(session)
      bySession.set(session, known)
      const [oldest] = bySession.keys()
      if (bySession.size > capacity && oldest !== undefined) bySession.delete(oldest)
    },
  }
}

/** Up to where each segment has been acknowledged by this router. */
export interface AcknowledgedWrites {
  note(bySegment: ReadonlyMap<number, number>): void
  /** `needs` and what was acknowledged of the segments. */
  neededBy(segments: readonly number[], needs: ReadonlyMap<number, number>): ReadonlyMap<number, number>
}

/** Nothing has been acknowledged yet. */
export function createAcknowledgedWrites(): AcknowledgedWrites {
  const nextOf = new Map<number, number>()
  return {
    note(bySegment) {
      for (const [segment, next] of bySegment) nextOf.set(segment, Math.max(next, nextOf.get(segment) ?? 0))
    },
    neededBy(segments, needs) {
      if (nextOf.size === 0) return needs
      const all = new Map(needs)
      for (const segment of segments) {
        const next = nextOf.get(segment)
        if (next !== undefined) all.set(segment, Math.max(next, all.get(segment) ?? 0))
      }
      return all
    },
  }
}
