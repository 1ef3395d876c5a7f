import type { Forecast, Risk, Scenario } from '#schemas'
import {
  AnomalyDetector,
  eventsKnownAt,
  type ForecastTables,
  type KnownEvent,
  type LiveBank,
  liveBank,
  type LiveForecaster,
  modelKey,
  NO_TABLES,
  originsAt,
  startFrom,
} from '#core/forecasting'
import { featureInput } from '#core/features'
import { ByteReader, ByteWriter, LEVELS } from '#core/math'
import { assessRisk, TrackedRisks } from '#core/risk'
import {
  defineTopology,
  type Round,
  type RoundOutput,
  type RoundProcessor,
  type Topology,
} from '#core/runtime'
import type { TrafficConfig } from './config.ts'
import { eventEvidence } from './event-evidence.ts'
import { FEATURES } from './features.ts'
import { DEMAND, regionSeries, type Series, streamSeries } from './series.ts'

/** Name of the topology: its consumer group. */
export const FORECASTS = 'traffic.forecasts'
const RISK_VERSION = 'online-1'
const SNAPSHOT_EVERY = 60

/** An effect is felt at most this many durations before and after its event. */
const FELT_FOR = 3
/** Share of the series present that may take a new champion in one round, and how many at least. */
const ADOPTED_SHARE = 0.02
const LEAST_ADOPTIONS = 8
/** A series with at most this many values may still start from similar ones. */
const YOUNG = 12

/** What is the same for all series of one round. */
interface Issue {
  readonly issuedMs: number
  readonly origins: Float64Array
  /** Known by now, near enough to be felt. */
  readonly events: readonly KnownEvent[]
  readonly out: RoundOutput
}

const keyOf = (entity: string, metric: string) => `${entity}\n${metric}`
const entityOf = (key: string) => key.slice(0, key.indexOf('\n'))

/** Forecasts, joint scenarios and risks of the series of one partition; all state goes into the snapshot. */
class ForecastProcessor implements RoundProcessor {
  readonly #config: TrafficConfig
  readonly #seriesOf: (row: unknown) => Series[]
  /** A stream that is not in a window carried nothing; a region that is not in it is unknown. */
  readonly #absentIsZero: boolean
  readonly #bank: LiveBank
  readonly #tables: ForecastTables
  readonly #anomalies = new Map<string, AnomalyDetector>()
  /** When each series began: end of its first window, ms since 1970. */
  readonly #beganMs = new Map<string, number>()
  readonly #risks = new TrackedRisks()
  readonly #quantiles: Float64Array
  readonly #draws: Float64Array
  #areTablesRead = false
  #restored: Uint8Array | undefined

  constructor(
    config: TrafficConfig,
    tables: ForecastTables,
    seriesOf: (row: unknown) => Series[],
    absentIsZero: boolean,
  ) {
    this.#config = config
    this.#tables = tables
    this.#seriesOf = seriesOf
    this.#absentIsZero = absentIsZero
    const { windowMs: stepMs, horizon, seasons, draws } = config
    const originEvery = Math.max(1, Math.floor(horizon / 4))
    this.#bank = liveBank(
      {
        stepMs,
        horizon,
        seasons,
        nonNegative: true,
        originEvery,
        originRows: Math.max(48, 2 * draws),
      },
      { nets: tables.nets },
    )
    this.#quantiles = new Float64Array(horizon * LEVELS)
    this.#draws = new Float64Array(draws)
  }

  async onRound(round: Round, out: RoundOutput): Promise<void> {
    if (!this.#areTablesRead) await this.#readTables()
    const known = eventsKnownAt(this.#tables.events(), round.timeMs)
    const events = this.#near(known, round.timeMs)
    const present = new Map<string, Series>()
    for (const row of round.rows['features'] ?? []) {
      for (const series of this.#seriesOf(row)) present.set(keyOf(series.entity, series.metric), series)
    }
    for (const [key, { entity, value }] of present) this.#observe(key, entity, round.timeMs, value, events)
    if (this.#absentIsZero) {
      for (const key of this.#beganMs.keys())
        if (!present.has(key)) this.#observe(key, entityOf(key), round.timeMs, 0, events)
    }
    this.#adopt(round.timeMs, present, known)
    const origins = originsAt(
      round.timeMs,
      this.#config.horizon * this.#config.windowMs,
      this.#config.draws,
      this.#bank.options.originGrid,
    )
    // What a replayed round says stands already; but the calibration waits for the outcomes of its risks.
    const issue = { issuedMs: round.timeMs, origins, events, out }
    for (const key of [...present.keys()].sort()) {
      const series = present.get(key) as Series
      if (!round.replayed || series.limit !== undefined) this.#publish(key, series, issue)
    }
  }

  /** A snapshot may name networks: they are there once the tables have been read. */
  async #readTables(): Promise<void> {
    await this.#tables.ready()
    this.#areTablesRead = true
    if (this.#restored) this.#restore(this.#restored)
    this.#restored = undefined
  }

  /** Events that can be felt now or within the horizon: effects last a few times as long as the event. */
  #near(known: readonly KnownEvent[], timeMs: number): KnownEvent[] {
    const { horizon, windowMs } = this.#config
    return known.filter(({ validFromMs, validToMs }) => {
      const reachMs = FELT_FOR * Math.max(validToMs - validFromMs, windowMs)
      return validFromMs - reachMs <= timeMs + horizon * windowMs && validToMs + reachMs >= timeMs - windowMs
    })
  }

  /** Champions that are new, a share of the series per round, so that a retraining of all does not hold a round up. */
  #adopt(timeMs: number, present: ReadonlyMap<string, Series>, known: readonly KnownEvent[]): void {
    const { scope, windowMs } = this.#config
    let left = Math.max(LEAST_ADOPTIONS, Math.ceil(present.size * ADOPTED_SHARE))
    for (const [key, { entity, metric }] of present) {
      const forecaster = this.#bank.get(key)
      if (forecaster === undefined || left === 0) continue
      const champion = this.#tables.model(modelKey(scope, entity, metric))
      if (champion !== undefined) {
        if (champion.trainedThroughMs <= timeMs && forecaster.adopt(champion, known)) left--
      } else if (forecaster.points <= YOUNG && forecaster.model.similarTo === '') {
        const donors = this.#tables
          .donors(scope, metric)
          .filter(({ model }) => model.trainedThroughMs <= timeMs)
        const start = startFrom(entity, windowMs, donors)
        if (start !== undefined && forecaster.adopt(start, known)) left--
      }
    }
  }

  /**
   * The first window of a series is left out: whatever sends it began somewhere within it. Taken at face value it is an
   * error of a factor of 10 or 100, from which scenarios would be drawn for as long as it is remembered.
   */
  #observe(key: string, entity: string, timeMs: number, value: number, events: readonly KnownEvent[]): void {
    if (!this.#beganMs.has(key)) {
      this.#beganMs.set(key, timeMs)
      return
    }
    this.#bank.observe(key, entity, timeMs, value, events)
    this.#risks.observe(key, timeMs, value)
    let detector = this.#anomalies.get(key)
    if (detector === undefined) {
      detector = new AnomalyDetector({ features: [key.slice(key.indexOf('\n') + 1)] })
      this.#anomalies.set(key, detector)
    }
    detector.observe([value])
  }

  #publish(key: string, series: Series, issue: Issue): void {
    const { issuedMs, origins, events, out } = issue
    const forecaster = this.#bank.get(key)
    if (forecaster === undefined || !forecaster.forecast(this.#quantiles, events)) return
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
        seasonal_naive: forecaster.seasonalNaive(step),
        scale: forecaster.scale,
        ...model,
      }
      out.emit('forecasts', series.entity, forecast)
    }
    const beganMs = this.#beganMs.get(key) as number
    const own = origins.findLastIndex((origin) => origin > beganMs) + 1
    if (series.metric === DEMAND && own > 0 && forecaster.draws(origins, 1, this.#draws, events) >= 0) {
      // A young series repeats the errors it has, so that none counts for all the time before it began.
      const draws = Array.from(origins, (_, k) => this.#draws[k % own] as number)
      const drawnFrom = Array.from(origins, (_, k) => origins[k % own] as number)
      const scenario: Scenario = { ...id, target_ms: issuedMs + windowMs, draws, origins: drawnFrom }
      out.emit('scenarios', series.entity, scenario)
    }
    if (series.limit !== undefined)
      out.emit('risks', series.entity, this.#risk(key, series, series.limit, forecaster, issue))
  }

  #risk(key: string, series: Series, limit: number, forecaster: LiveForecaster, issue: Issue): Risk {
    const { issuedMs, events } = issue
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
      events: eventEvidence(forecaster.model.effects, events, issuedMs, horizon * windowMs),
    })
    const horizonMs = horizon * windowMs
    const said = { issuedAtMs: issuedMs, horizonMs, raw: assessed.rawProbability, limit, side: series.side }
    return {
      scope,
      entity: series.entity,
      metric: series.metric,
      issued_at_ms: issuedMs,
      horizon_ms: horizonMs,
      probability: this.#risks.issue(key, said),
      limit,
      q10: assessed.q10,
      q50: assessed.q50,
      q90: assessed.q90,
      anomaly_score: score,
      anomaly_direction: direction,
      anomaly_metric: feature,
      drivers: [...assessed.drivers],
      model_version: `${forecaster.modelVersion}/${RISK_VERSION}`,
    }
  }

  snapshot(): Uint8Array {
    if (this.#restored) return this.#restored
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
    this.#risks.encode(writer)
    return writer.take()
  }

  restore(bytes: Uint8Array): void {
    this.#restored = bytes
  }

  #restore(bytes: Uint8Array): void {
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
    this.#risks.decode(reader)
  }
}

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
  const node = (
    topic: string,
    record: 'StreamFeature' | 'RegionFeature',
    window: string,
    make: () => RoundProcessor,
  ) => ({
    scope: 'partition' as const,
    inputs: { features: featureInput(topic, record, FEATURES, window) },
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
        () => new ForecastProcessor(config, tables, streamSeries(config), true),
      ),
      regions: node(
        'features.regions',
        'RegionFeature',
        'regions',
        () => new ForecastProcessor(config, tables, regionSeries(config), false),
      ),
    },
  })
}
