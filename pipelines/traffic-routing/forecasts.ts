import type { Forecast, RegionFeature, Risk, Scenario, StreamFeature } from '#schemas'
import { AnomalyDetector, type ForecasterBank, forecasterBank, originsAt } from '#core/forecasting'
import { ByteReader, ByteWriter, LEVELS } from '#core/math'
import { assessRisk } from '#core/risk'
import {
  defineTopology,
  type Round,
  type RoundOutput,
  type RoundProcessor,
  type Topology,
  windowNode,
} from '#core/runtime'
import type { TrafficConfig } from './config.ts'
import { FEATURES } from './features.ts'

/** Name of the topology: its consumer group. */
export const FORECASTS = 'traffic.forecasts'
/** Series of a stream, in bytes per second. */
export const DEMAND = 'bytes_per_second'
/** Series of a region. */
export const RTT = 'rtt_ms'
/** Series of a region: what it can serve of what it announces, bytes per second. */
export const CAPACITY = 'usable_bytes_per_second'

const RISK_VERSION = 'uncalibrated-1'
const SNAPSHOT_EVERY = 60

/** What one series is and what is asked of it. */
interface Series {
  readonly entity: string
  readonly metric: string
  readonly value: number
  /** Crossing it is the bad event; undefined: no risk is assessed. */
  readonly limit?: number
  readonly side: 'above' | 'below'
  readonly unit: string
}

const keyOf = (entity: string, metric: string) => `${entity}\n${metric}`

/** What a region can serve of what it announces: probes unanswered, lost or failed take their share away. */
export const usableCapacity = (row: RegionFeature): number =>
  row.capacity_bytes_per_second_min * row.up_ratio * (1 - row.loss_ratio_mean) * (1 - row.error_ratio_mean)

/** 70 % of the smallest link of the default path, unless the operator has said otherwise. */
function streamLimits(config: TrafficConfig): Map<string, number> {
  const { network } = config
  return new Map(
    network.pairNames.map((stream, pair) => {
      const path = network.firstPath[pair] as number
      let smallest = Number.POSITIVE_INFINITY
      for (let i = network.pathStart[path] as number; i < (network.pathStart[path + 1] as number); i++) {
        smallest = Math.min(smallest, network.capacity[network.pathLinks[i] as number] as number)
      }
      return [stream, config.streamLimits[stream] ?? 0.7 * smallest]
    }),
  )
}

function streamSeries(config: TrafficConfig): (row: unknown) => Series[] {
  const limits = streamLimits(config)
  return (row) => {
    const { stream, bytes_per_second: value } = row as StreamFeature
    const limit = limits.get(stream)
    return [
      {
        entity: stream,
        metric: DEMAND,
        value,
        side: 'above',
        unit: 'B/s',
        ...(limit === undefined ? {} : { limit }),
      },
    ]
  }
}

function regionSeries(config: TrafficConfig): (row: unknown) => Series[] {
  return (given) => {
    const row = given as RegionFeature
    const rtt: Series = {
      entity: row.region,
      metric: RTT,
      value: row.rtt_ms_mean,
      side: 'above',
      unit: 'ms',
      limit: config.regionRttLimitMs,
    }
    const usable: Series = {
      entity: row.region,
      metric: CAPACITY,
      value: usableCapacity(row),
      side: 'below',
      unit: 'B/s',
    }
    return [...(row.up_ratio > 0 ? [rtt] : []), ...(row.capacity_bytes_per_second_min > 0 ? [usable] : [])]
  }
}

/** Forecasts, joint scenarios and risks of the series of one partition; all state goes into the snapshot. */
class ForecastProcessor implements RoundProcessor {
  readonly #config: TrafficConfig
  readonly #seriesOf: (row: unknown) => Series[]
  /** A stream that is not in a window carried nothing; a region that is not in it is unknown. */
  readonly #absentIsZero: boolean
  readonly #bank: ForecasterBank
  readonly #anomalies = new Map<string, AnomalyDetector>()
  /** When each series began: end of its first window, ms since 1970. */
  readonly #beganMs = new Map<string, number>()
  readonly #quantiles: Float64Array
  readonly #draws: Float64Array

  constructor(config: TrafficConfig, seriesOf: (row: unknown) => Series[], absentIsZero: boolean) {
    this.#config = config
    this.#seriesOf = seriesOf
    this.#absentIsZero = absentIsZero
    const { windowMs: stepMs, horizon, seasons, draws } = config
    const originEvery = Math.max(1, Math.floor(horizon / 4))
    this.#bank = forecasterBank({
      stepMs,
      horizon,
      seasons,
      nonNegative: true,
      originEvery,
      originRows: Math.max(48, 2 * draws),
    })
    this.#quantiles = new Float64Array(horizon * LEVELS)
    this.#draws = new Float64Array(draws)
  }

  onRound(round: Round, out: RoundOutput): void {
    const present = new Map<string, Series>()
    for (const row of round.rows['features'] ?? []) {
      for (const series of this.#seriesOf(row)) present.set(keyOf(series.entity, series.metric), series)
    }
    for (const [key, { value }] of present) this.#observe(key, round.timeMs, value)
    if (this.#absentIsZero) {
      for (const key of this.#beganMs.keys()) if (!present.has(key)) this.#observe(key, round.timeMs, 0)
    }
    if (round.replayed) return
    const origins = originsAt(
      round.timeMs,
      this.#config.horizon * this.#config.windowMs,
      this.#config.draws,
      this.#bank.options.originGrid,
    )
    for (const key of [...present.keys()].sort())
      this.#publish(key, present.get(key) as Series, round.timeMs, origins, out)
  }

  /**
   * The first window of a series is left out: whatever sends it began somewhere within it. Taken at face value it is an
   * error of a factor of 10 or 100, from which scenarios would be drawn for as long as it is remembered.
   */
  #observe(key: string, timeMs: number, value: number): void {
    if (!this.#beganMs.has(key)) {
      this.#beganMs.set(key, timeMs)
      return
    }
    this.#bank.observe(key, timeMs, value)
    let detector = this.#anomalies.get(key)
    if (detector === undefined) {
      detector = new AnomalyDetector({ features: [key.slice(key.indexOf('\n') + 1)] })
      this.#anomalies.set(key, detector)
    }
    detector.observe([value])
  }

  #publish(key: string, series: Series, issuedMs: number, origins: Float64Array, out: RoundOutput): void {
    const forecaster = this.#bank.get(key)
    if (forecaster === undefined || !forecaster.forecast(this.#quantiles)) return
    const { scope, windowMs, publishSteps } = this.#config
    const q = this.#quantiles
    const id = { scope, entity: series.entity, metric: series.metric, issued_at_ms: issuedMs }
    const model = { model: forecaster.modelName, model_version: forecaster.modelVersion }
    for (const step of publishSteps) {
      const at = (step - 1) * LEVELS
      const level = (i: number) => q[at + i] as number
      const forecast: Forecast = {
        ...id,
        target_ms: issuedMs + step * windowMs,
        horizon_ms: step * windowMs,
        q025: level(0),
        q10: level(1),
        q50: level(2),
        q90: level(3),
        q975: level(4),
        q99: level(5),
        seasonal_naive: null,
        scale: null,
        ...model,
      }
      out.emit('forecasts', series.entity, forecast)
    }
    const beganMs = this.#beganMs.get(key) as number
    const own = origins.findLastIndex((origin) => origin > beganMs) + 1
    if (series.metric === DEMAND && own > 0 && forecaster.draws(origins, 1, this.#draws) >= 0) {
      // A young series repeats the errors it has, so that none counts for all the time before it began.
      const draws = Array.from(origins, (_, k) => this.#draws[k % own] as number)
      const drawnFrom = Array.from(origins, (_, k) => origins[k % own] as number)
      const scenario: Scenario = { ...id, target_ms: issuedMs + windowMs, draws, origins: drawnFrom }
      out.emit('scenarios', series.entity, scenario)
    }
    if (series.limit !== undefined)
      out.emit('risks', series.entity, this.#risk(key, series, series.limit, issuedMs, model.model_version))
  }

  #risk(key: string, series: Series, limit: number, issuedMs: number, modelVersion: string): Risk {
    const { scope, windowMs, horizon } = this.#config
    const detector = this.#anomalies.get(key) as AnomalyDetector
    const { score, direction, feature } = detector
    const assessed = assessRisk({
      entity: series.entity,
      issuedAtMs: issuedMs,
      stepMs: windowMs,
      steps: horizon,
      quantiles: this.#quantiles,
      limit,
      side: series.side,
      last: series.value,
      unit: series.unit,
      anomaly: { score, direction, feature },
    })
    return {
      scope,
      entity: series.entity,
      metric: series.metric,
      issued_at_ms: issuedMs,
      horizon_ms: horizon * windowMs,
      probability: assessed.probability,
      limit,
      q10: assessed.q10,
      q50: assessed.q50,
      q90: assessed.q90,
      anomaly_score: score,
      anomaly_direction: direction,
      anomaly_metric: feature,
      drivers: [...assessed.drivers],
      model_version: `${modelVersion}/${RISK_VERSION}`,
    }
  }

  snapshot(): Uint8Array {
    const writer = new ByteWriter(1 << 16)
    const bank = this.#bank.snapshot()
    writer.varint(bank.length)
    writer.bytes(bank)
    writer.varint(this.#beganMs.size)
    for (const [key, timeMs] of this.#beganMs) {
      writer.text(key)
      writer.varint(timeMs)
    }
    writer.varint(this.#anomalies.size)
    for (const [key, detector] of this.#anomalies) {
      writer.text(key)
      detector.encode(writer)
    }
    return writer.take()
  }

  restore(bytes: Uint8Array): void {
    const reader = new ByteReader(bytes)
    this.#bank.restore(reader.bytes(reader.varint()))
    this.#beganMs.clear()
    for (let left = reader.varint(); left > 0; left--) this.#beganMs.set(reader.text(), reader.varint())
    this.#anomalies.clear()
    for (let left = reader.varint(); left > 0; left--) {
      const key = reader.text()
      const detector = new AnomalyDetector({ features: [key.slice(key.indexOf('\n') + 1)] })
      detector.decode(reader)
      this.#anomalies.set(key, detector)
    }
  }
}

const OUTPUTS = {
  forecasts: { topic: 'forecasts.traffic', record: 'Forecast', marked: true },
  scenarios: { topic: 'scenarios.traffic', record: 'Scenario', marked: true },
  risks: { topic: 'risks.traffic', record: 'Risk', marked: true },
} as const

/** features.* to forecasts, joint scenarios and risks, partition by partition. */
export function forecastsTopology(config: TrafficConfig): Topology {
  const node = (
    topic: string,
    record: 'StreamFeature' | 'RegionFeature',
    window: string,
    make: () => RoundProcessor,
  ) => ({
    scope: 'partition' as const,
    inputs: {
      features: {
        topic,
        record,
        time: 'window_end_ms',
        writers: [{ node: windowNode(FEATURES, window), partitionsOf: topic, aligned: true }],
      },
    },
    outputs: OUTPUTS,
    snapshotEvery: SNAPSHOT_EVERY,
    create: make,
  })
  return defineTopology({
    name: FORECASTS,
    sources: {},
    windows: {},
    rounds: {
      streams: node(
        'features.streams',
        'StreamFeature',
        'streams',
        () => new ForecastProcessor(config, streamSeries(config), true),
      ),
      regions: node(
        'features.regions',
        'RegionFeature',
        'regions',
        () => new ForecastProcessor(config, regionSeries(config), false),
      ),
    },
  })
}
