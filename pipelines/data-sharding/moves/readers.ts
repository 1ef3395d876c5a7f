import type { DataMoveState } from '#schemas'

/** Phases in which nothing more is done. */
export const OVER: ReadonlySet<string> = new Set(['done', 'reversed', 'failed'])
/** Phases in which `to` does not answer reads; in the others `from` of a move or drop does not. */
const BEFORE_SWITCH: ReadonlySet<string> = new Set(['copying', 'joining', 'verifying', 'reversing'])

/**
 * Those of the holders of a segment that answer reads of it, by the moves under way. While a move can be reversed its
 * `from` has every row: it goes on answering if `to` is away or has lost the segment.
 */
export function readersOf(
  segment: number,
  states: Iterable<DataMoveState>,
  holders: readonly string[],
): string[] {
  const silent = new Set<string>()
  for (const state of states) {
    if (state.segment !== segment || OVER.has(state.phase)) continue
    if (BEFORE_SWITCH.has(state.phase)) silent.add(state.to)
    else if (state.kind !== 'copy' && !standsIn(state, holders)) silent.add(state.from)
  }
  return holders.filter((name) => !silent.has(name))
}

const standsIn = ({ kind, phase, to }: DataMoveState, holders: readonly string[]): boolean =>
  kind === 'move' && phase === 'switched' && !holders.includes(to)
