import type { Subsystem } from '#core/subsystem'
import type { TrafficConfig } from './config.ts'
import { DECISION_OUTPUTS, decisionsTopology } from './decisions.ts'
import { featuresTopology } from './features.ts'
import { forecastsTopology } from './forecasts.ts'

export * from './config.ts'
export * from './decisions.ts'
export * from './features.ts'
export * from './forecasts.ts'
export * from './network.ts'
export { parseAbileneNetwork } from './network-files.ts'
export { DEMAND } from './series.ts'

/** Traffic-routing, as processes run it. */
export const trafficRouting: Subsystem<TrafficConfig> = {
  name: 'traffic-routing',
  async topologies(config, { clock, tables, readStanding, solvers, onRound }) {
    return {
      features: featuresTopology(config),
      forecasts: forecastsTopology(config, tables),
      decisions: decisionsTopology(config, {
        clock,
        solvers: await solvers(),
        readStanding: () => readStanding(DECISION_OUTPUTS),
        ...(onRound ? { onRound } : {}),
      }),
    }
  },
  partitions: ({ partitions }) => ({ 'features.streams': partitions }),
}
