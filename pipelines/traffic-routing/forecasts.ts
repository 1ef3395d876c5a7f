import { featureInput } from '#core/features'
import type { ForecastTables } from '#core/forecasting'
import { defineTopology, type Topology } from '#core/runtime'
import { seriesRound } from '#core/subsystem'
import type { TrafficConfig } from './config.ts'
import { FEATURES } from './features.ts'
import { DEMAND, regionSeries, streamSeries } from './series.ts'

/** Name of the topology: its consumer group. */
export const FORECASTS = 'traffic.forecasts'

const TOPICS = { forecasts: 'forecasts.traffic', scenarios: 'scenarios.traffic', risks: 'risks.traffic' }

/**
 * features.* to forecasts, joint scenarios and risks, partition by partition. `tables`: calendar and champions; without them each
 * series chooses its own model.
 */
export function forecastsTopology(config: TrafficConfig, tables?: ForecastTables): Topology {
  // A stream that is not in a window carried nothing; a region that is not in it is unknown.
  const streams = { seriesOf: streamSeries(config), absentIsZero: true, jointMetric: DEMAND }
  const regions = { seriesOf: regionSeries(config), absentIsZero: false, jointMetric: null }
  const inputs = {
    streams: featureInput('features.streams', 'StreamFeature', FEATURES, 'streams'),
    regions: featureInput('features.regions', 'RegionFeature', FEATURES, 'regions'),
  }
  return defineTopology({
    name: FORECASTS,
    rounds: {
      streams: seriesRound(inputs.streams, TOPICS, config, streams, tables),
      regions: seriesRound(inputs.regions, TOPICS, config, regions, tables),
    },
  })
}
