import type { Subsystem } from '#core/subsystem'
import type { DataConfig } from './config.ts'
import { DECISION_OUTPUTS, decisionsTopology } from './decisions.ts'
import { featuresTopology } from './features.ts'
import { forecastsTopology } from './forecasts.ts'

export * from './config.ts'
export * from './decisions.ts'
export * from './features.ts'
export * from './forecasts.ts'
export { segmentOf } from './placement/index.ts'

/** Data-sharding, as processes run it. */
export const dataSharding: Subsystem<DataConfig> = {
  name: 'data-sharding',
  async topologies(config, { clock, tables, readStanding, onRound }) {
    return {
      features: featuresTopology(config),
      forecasts: forecastsTopology(config, tables),
      decisions: decisionsTopology(
        config,
        {
          clock,
          readStanding: () => readStanding(DECISION_OUTPUTS),
          ...(onRound ? { onRound } : {}),
        },
        tables,
      ),
    }
  },
  partitions: ({ partitions }) => ({ 'features.queries': partitions }),
}
