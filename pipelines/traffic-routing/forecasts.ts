import { featureInput } from '#core/features'
import { type ForecastTables, NO_TABLES } from '#core/forecasting'
import { defineTopology, type RoundSpec, type Topology } from '#core/runtime'
import { seriesProcessor } from '#core/subsystem'
import type { TrafficConfig } from './config.ts'
import { FEATURES } from './features.ts'
import { DEMAND, regionSeries, streamSeries } from './series.ts'

/** Name of the topology: its consumer group. */
export const FORECASTS = 'traffic.forecasts'
const SNAPSHOT_EVERY = 60

const OUTPUTS = {
  forecasts: { topic: 'forecasts.traffic', record: 'Forecast', marked: true },
  scenarios: { topic: 'scenarios.traffic', record: 'Scenario', marked: true },
  risks: { topic: 'risks.traffic', record: 'Risk', marked: true },
} as const

/**
 * features.* to forecasts, joint scenarios and risks, partition by partition. `tables`: calendar and champions; without them each
 * series chooses its own model.
 */
export function forecastsTopology(config: TrafficConfig, tables: ForecastTables = NO_TABLES): Topology {
  const node = (input: RoundSpec['inputs'][string], create: RoundSpec['create']): RoundSpec => ({
    scope: 'partition',
    inputs: { features: input },
    outputs: OUTPUTS,
    snapshotEvery: SNAPSHOT_EVERY,
    create,
  })
  // A stream that is not in a window carried nothing; a region that is not in it is unknown.
  const streams = { seriesOf: streamSeries(config), absentIsZero: true, jointMetric: DEMAND }
  const regions = { seriesOf: regionSeries(config), absentIsZero: false, jointMetric: null }
  return defineTopology({
    name: FORECASTS,
    sources: {},
    windows: {},
    rounds: {
      streams: node(
        featureInput('features.streams', 'StreamFeature', FEATURES, 'streams'),
        seriesProcessor(config, tables, streams),
      ),
      regions: node(
        featureInput('features.regions', 'RegionFeature', FEATURES, 'regions'),
        seriesProcessor(config, tables, regions),
      ),
    },
  })
}
