import type { PipelineFeature } from '#schemas'
import { featureInput } from '#core/features'
import type { ForecastTables } from '#core/forecasting'
import { defineTopology, type Topology } from '#core/runtime'
import { type Series, seriesRound } from '#core/subsystem'
import type { PoolConfig } from './config.ts'

const TOPICS = { forecasts: 'forecasts.example', risks: 'risks.example' }

function seriesOf(row: unknown): Series[] {
  const { pipeline_id: entity, load_mean: value, capacity_min: limit } = row as PipelineFeature
  return [{ entity, metric: 'load', value, limit, side: 'above', unit: 'requests' }]
}

/** The load of each pool: quantiles ahead, and the risk that it outgrows the pool. */
export function forecastsTopology(config: PoolConfig, tables: ForecastTables): Topology {
  const input = featureInput('features.example', 'PipelineFeature', 'example.features', 'pools')
  const source = { seriesOf, absentIsZero: true, jointMetric: null }
  const pools = seriesRound(input, TOPICS, config, source, tables)
  return defineTopology({ name: 'example.forecasts', rounds: { pools } })
}
