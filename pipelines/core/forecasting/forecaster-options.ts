import { ForestallError } from '#core/ports'
import type { OriginGrid } from './residual-log.ts'
import type { ScaleKind } from './scale.ts'

/** How one kind of series is forecast. Snapshots only fit the options they were made with. */
export interface ForecasterOptions {
  /** Length of a step (of the feature window), ms. */
  readonly stepMs: number
  /** Steps ahead, 1..1000. */
  readonly horizon: number
  /** Candidate seasons in steps (a day, a week); the season before is an answer once the history holds 1.7 of it, models of the season from 3.4 on. */
  readonly seasons: readonly number[]
  /** Values kept for fitting; default: 7 times the longest season, 200..4,032. 4 bytes each. */
  readonly historyPoints?: number
  /** Points between fits; default the shortest season, or 288. */
  readonly refitEvery?: number
  /** Shifts the schedule of fits, so that many series do not fit at once; the bank takes a hash of the key. */
  readonly phase?: number
  /** Default 'auto': logarithmic if no value of the history is negative. */
  readonly scale?: ScaleKind | 'auto'
  /** Refuse negative values and never forecast one (bytes, counts); default false. */
  readonly nonNegative?: boolean
  /** Distance of the origins that joint scenarios draw from, in steps; default the horizon. */
  readonly originEvery?: number
  /** Origins kept for joint scenarios; default 48. */
  readonly originRows?: number
  /** More candidates, for short histories of few long steps with at most one short season (months, days of the week): fits cost about five times as much. */
  readonly wide?: boolean
}

/** Options with every default filled in. */
export interface ResolvedOptions extends Required<Omit<ForecasterOptions, 'wide'>> {
  readonly originGrid: OriginGrid
  readonly wide?: boolean
}

const isCount = (value: number, most: number) => Number.isInteger(value) && value >= 1 && value <= most

/** Fills in the defaults. Throws CONFIG_INVALID. */
export function resolveOptions(options: ForecasterOptions): ResolvedOptions {
  const { stepMs, horizon, seasons } = options
  if (!(Number.isFinite(stepMs) && stepMs > 0)) throw invalid('stepMs', 'a positive number of ms', stepMs)
  if (!isCount(horizon, 1000)) throw invalid('horizon', '1..1000 steps', horizon)
  for (const season of seasons) if (!isCount(season - 1, 1e6)) throw invalid('seasons', 'steps >= 2', season)
  const longest = Math.max(0, ...seasons)
  const shortest = seasons.length > 0 ? Math.min(...seasons) : 288
  const resolved = {
    historyPoints: Math.min(4032, Math.max(200, 7 * longest)),
    refitEvery: Math.max(24, shortest),
    phase: 0,
    scale: 'auto' as const,
    nonNegative: false,
    originEvery: horizon,
    originRows: 48,
    ...options,
  }
  for (const field of ['historyPoints', 'refitEvery', 'originEvery', 'originRows'] as const) {
    if (!isCount(resolved[field], 1e6)) throw invalid(field, 'a whole number >= 1', resolved[field])
  }
  return { ...resolved, originGrid: { everyMs: resolved.originEvery * stepMs, rows: resolved.originRows } }
}

function invalid(field: string, expected: string, value: number): ForestallError {
  return new ForestallError('CONFIG_INVALID', `forecaster: ${field} must be ${expected}, is ${value}`)
}
