import type { Subsystem } from '#core/subsystem'
import type { PoolConfig } from './config.ts'
import { decisionsTopology } from './decisions.ts'
import { featuresTopology } from './features.ts'
import { forecastsTopology } from './forecasts.ts'

/** The smallest subsystem: pools of instances, each as large as its load will need. */
export const example: Subsystem<PoolConfig> = {
  name: 'example',
  topologies: async (config, deps) => ({
    features: featuresTopology(config),
    forecasts: forecastsTopology(config, deps.tables),
    decisions: decisionsTopology(config, deps),
  }),
  partitions: ({ partitions }) => ({ 'features.example': partitions }),
}
