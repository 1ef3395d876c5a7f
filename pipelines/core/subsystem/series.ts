import { checkSettings, DEFAULT_WINDOW_SETTINGS, type Refuse, type WindowSettings } from '#core/features'

/** What one series is and what is asked of it. */
export interface Series {
  readonly entity: string
  readonly metric: string
  /** In this window. */
  readonly value: number
  /** Crossing it is the bad event; undefined: no risk is assessed. */
  readonly limit?: number
  readonly side: 'above' | 'below'
  readonly unit: string
}

/** How series are forecast. */
export interface SeriesSettings extends WindowSettings {
  /** Seasons in windows (a day, a week). */
  readonly seasons: readonly number[]
  /** Windows forecast ahead. */
  readonly horizon: number
  /** Steps ahead that are published, 1..horizon. */
  readonly publishSteps: readonly number[]
  /** Joint scenarios per issue. */
  readonly draws: number
}

/** Defaults: two minutes ahead, in windows of 10 s, without a season. */
export const DEFAULT_SERIES_SETTINGS: SeriesSettings = {
  ...DEFAULT_WINDOW_SETTINGS,
  seasons: [],
  horizon: 12,
  publishSteps: [1, 6, 12],
  draws: 24,
}

/** Checks the settings of windows and series, and that the further numbers named are above 0. Throws CONFIG_INVALID. */
export function checkSeriesSettings<Config extends SeriesSettings>(
  config: Config,
  positive: readonly (keyof Config & string)[],
  refuse: Refuse,
): void {
  checkSettings(config, ['horizon', 'draws', ...positive], refuse)
  for (const step of config.publishSteps)
    if (!(Number.isInteger(step) && step >= 1 && step <= config.horizon))
      refuse('publishSteps', config.publishSteps, `Name steps from 1 to horizon (${config.horizon}).`)
}

/** The series of a feature record, and what a window without one means. */
export interface SeriesSource {
  /** The series that a feature record holds. */
  readonly seriesOf: (row: unknown) => readonly Series[]
  /** True: what is not in a window did nothing, and its forecast learns that; false: it is unknown. */
  readonly absentIsZero: boolean
  /** The metric of which joint scenarios are drawn; null: none, and the node needs no output for them. */
  readonly jointMetric: string | null
}
