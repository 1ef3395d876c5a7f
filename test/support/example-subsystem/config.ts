import { DEFAULT_DECISION_SETTINGS, type DecisionSettings } from '#core/decisions'
import { refusing } from '#core/features'
import { checkSeriesSettings, DEFAULT_SERIES_SETTINGS, type SeriesSettings } from '#core/subsystem'

/** What the example is told. */
export interface PoolConfig extends SeriesSettings, DecisionSettings {
  /** Load that one instance carries. */
  readonly perInstance: number
}

/** Fills in the defaults and checks. Throws CONFIG_INVALID naming field, value and cure. */
export function poolConfig(given: Partial<PoolConfig>): PoolConfig {
  const config = { ...DEFAULT_SERIES_SETTINGS, ...DEFAULT_DECISION_SETTINGS, perInstance: 10, ...given }
  checkSeriesSettings(config, ['perInstance'], refusing('example'))
  return config
}
