/** What every subsystem is told about its decisions. */
export interface DecisionSettings {
  readonly mode: 'dry_run' | 'apply'
  /** What decisions are dated by: the wall clock (live), or the windows they rest on (replays of the past). */
  readonly time: 'wall' | 'event'
  /** '' live; decisions of a replay carry its id. */
  readonly replayId: string
  readonly seed: number
}

/** Live decisions, to be applied. */
export const DEFAULT_DECISION_SETTINGS: DecisionSettings = {
  mode: 'apply',
  time: 'wall',
  replayId: '',
  seed: 1,
}
