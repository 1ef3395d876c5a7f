import type { ForecastTables } from '#core/forecasting'
import type { Topology } from '#core/runtime'
import type { DataConfig } from './config.ts'
import { type DataDecisionDeps, decisionsTopology } from './decisions.ts'
import { featuresTopology } from './features.ts'
import { forecastsTopology } from './forecasts.ts'

export * from './config.ts'
export * from './decisions.ts'
export * from './features.ts'
export * from './forecasts.ts'
export { segmentOf } from './placement/index.ts'

/** The three topologies of data-sharding, in the order of the flow: features, forecasts, decisions. */
export const dataTopologies = (
  config: DataConfig,
  deps: DataDecisionDeps,
  tables?: ForecastTables,
): Topology[] => [
  featuresTopology(config),
  forecastsTopology(config, tables),
  decisionsTopology(config, deps),
]
