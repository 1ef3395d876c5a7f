import type { DataMoveState } from '#schemas'
import { quantiles } from './data-load.ts'

/** What became of the moves of segments. */
export interface MoveReport {
  /** Reads go to the new replica, or no longer to the dropped one. */
  readonly switched: number
  /** The old copy is gone. */
  readonly done: number
  readonly reversed: number
  readonly failed: number
  /** From the beginning of a move to its switch, and how long writes to a partition waited for it. */
  readonly switchMs: { readonly p50: number | null; readonly p99: number | null }
  readonly pauseMs: { readonly p50: number | null; readonly p99: number | null }
  /** Why the last one failed, or was compared again; '' if none. */
  readonly lastReason: string
}

/** Counts moves as they go. */
export interface MoveCounts {
  onPhase(state: DataMoveState): void
  onPause(elapsedMs: number): void
  report(): MoveReport
}

const RECENT = 1000

/** Counts over phases that a mover tells of. */
export function createMoveCounts(): MoveCounts {
  const counts = { switched: 0, done: 0, reversed: 0, failed: 0 }
  const switches: number[] = []
  const pauses: number[] = []
  let lastReason = ''
  const keep = (list: number[], value: number): void => {
    list.push(value)
    if (list.length > RECENT) list.shift()
  }
  return {
    onPhase({ phase, reason, at_ms, began_at_ms }) {
      if (reason !== '') lastReason = reason
      if (phase === 'switched') keep(switches, at_ms - began_at_ms)
      if (phase === 'switched' || phase === 'done' || phase === 'reversed' || phase === 'failed')
        counts[phase]++
    },
    onPause: (elapsedMs) => keep(pauses, elapsedMs),
    report: () => ({ ...counts, switchMs: quantiles(switches), pauseMs: quantiles(pauses), lastReason }),
  }
}
