import { Buffer } from 'node:buffer'
import type { ForecastAlert } from '#schemas'
import { topicName } from '#schemas'
import { readLatest, type RecordCodec } from '#core/codec'
import type { Broker, Clock } from '#core/ports'
import type { AccuracyRow } from './query.ts'

/** Where alerts are written. */
export interface AlertDeps {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly clock: Clock
  readonly prefix: string
}

const TOPIC = 'alerts.forecasts'
const keyOf = (row: Pick<AccuracyRow, 'scope' | 'entity' | 'metric' | 'horizon_ms'>): string =>
  `${row.scope}|${row.entity}|${row.metric}|${row.horizon_ms}`

/**
 * Raises an alert for each of these rows and withdraws those that stand for others. An alert that stands for the same model version is
 * not repeated, so the same question asked twice writes nothing. Returns how many were raised and withdrawn.
 */
export async function writeAlerts(
  deps: AlertDeps,
  worse: readonly AccuracyRow[],
): Promise<{ readonly raised: number; readonly withdrawn: number }> {
  const { broker, codec, clock, prefix } = deps
  const topic = topicName(TOPIC, prefix)
  const standing = await readAlerts(broker, codec, topic)
  const wanted = new Map(worse.map((row) => [keyOf(row), row]))
  const producer = broker.producer()
  const nowMs = clock.nowMs()
  let raised = 0
  let withdrawn = 0
  for (const [key, row] of wanted) {
    if (standing.get(key)?.model_version === row.model_version) continue
    producer.add(topic, 0, nowMs, Buffer.from(key), codec.encode(TOPIC, 'ForecastAlert', alertOf(row, nowMs)))
    raised++
  }
  for (const key of standing.keys()) {
    if (wanted.has(key)) continue
    producer.add(topic, 0, nowMs, Buffer.from(key), null)
    withdrawn++
  }
  try {
    await producer.flush()
  } finally {
    await producer.close()
  }
  return { raised, withdrawn }
}

function alertOf(row: AccuracyRow, nowMs: number): ForecastAlert {
  const mase = row.mase ?? 0
  const naive = row.seasonal_naive_mase ?? 0
  const worse = naive > 0 ? `${Math.round(100 * (mase / naive - 1))} % worse than` : 'worse than'
  return {
    scope: row.scope,
    entity: row.entity,
    metric: row.metric,
    horizon_ms: row.horizon_ms,
    model: row.model,
    model_version: row.model_version,
    at_ms: nowMs,
    from_ms: row.from_ms,
    to_ms: row.to_ms,
    forecasts: row.forecasts,
    mase,
    seasonal_naive_mase: naive,
    coverage_95: row.coverage_95,
    message: `${row.model} of ${row.entity} ${row.metric} is ${worse} the seasonal naive, ${row.horizon_ms / 1000} s ahead over ${row.forecasts} forecasts`,
  }
}

/** The alerts that stand, by key. */
async function readAlerts(
  broker: Broker,
  codec: RecordCodec,
  topic: string,
): Promise<Map<string, ForecastAlert>> {
  const standing = new Map<string, ForecastAlert>()
  for (const [key, value] of await readLatest(broker, topic))
    standing.set(key, await codec.decodeAsync(value, 0, value.length, 'ForecastAlert'))
  return standing
}
