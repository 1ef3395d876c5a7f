import {
  AnomalyDetector,
  eventsKnownAt,
  type ForecastTables,
  type KnownEvent,
  type LiveBank,
  liveBank,
  modelKey,
  NO_TABLES,
  originsAt,
  startFrom,
} from '#core/forecasting'
import { ByteReader, ByteWriter, LEVELS } from '#core/math'
import { TrackedRisks } from '#core/risk'
import type { Round, RoundInput, RoundOutput, RoundProcessor, RoundSpec } from '#core/runtime'
import type { Series, SeriesSettings, SeriesSource } from './series.ts'
import { forecastRecords, riskRecord, scenarioRecord, type SeriesIssue } from './series-records.ts'

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

/**
 * Forecasts, joint scenarios and risks of the series of one partition: input `features`, outputs `forecasts`, `risks` and, with a joint metric,
 * `scenarios`. All state goes into the snapshot.
 */
class SeriesProcessor implements RoundProcessor {
  readonly #settings: SeriesSettings
  readonly #source: SeriesSource
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

  constructor(settings: SeriesSettings, tables: ForecastTables, source: SeriesSource) {
    this.#settings = settings
    this.#tables = tables
    this.#source = source
    const { windowMs: stepMs, horizon, seasons, draws } = settings
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
      for (const series of this.#source.seriesOf(row))
        present.set(keyOf(series.entity, series.metric), series)
    }
    for (const [key, { entity, value }] of present) this.#observe(key, entity, round.timeMs, value, events)
    if (this.#source.absentIsZero) {
      for (const key of this.#beganMs.keys())
        if (!present.has(key)) this.#observe(key, entityOf(key), round.timeMs, 0, events)
    }
    this.#adopt(round.timeMs, present, known)
    const origins = originsAt(
      round.timeMs,
      this.#settings.horizon * this.#settings.windowMs,
      this.#settings.draws,
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
    const { horizon, windowMs } = this.#settings
    return known.filter(({ validFromMs, validToMs }) => {
      const reachMs = FELT_FOR * Math.max(validToMs - validFromMs, windowMs)
      return validFromMs - reachMs <= timeMs + horizon * windowMs && validToMs + reachMs >= timeMs - windowMs
    })
  }

  /** Champions that are new, a share of the series per round, so that a retraining of all does not hold a round up. */
  #adopt(timeMs: number, present: ReadonlyMap<string, Series>, known: readonly KnownEvent[]): void {
    const { scope, windowMs } = this.#settings
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

  #publish(key: string, series: Series, { issuedMs, origins, events, out }: Issue): void {
    const forecaster = this.#bank.get(key)
    const quantiles = this.#quantiles
    if (forecaster === undefined || !forecaster.forecast(quantiles, events)) return
    const issue: SeriesIssue = { settings: this.#settings, series, forecaster, issuedMs, quantiles, events }
    for (const forecast of forecastRecords(issue)) out.emit('forecasts', series.entity, forecast)
    if (series.metric === this.#source.jointMetric) {
      const scenario = scenarioRecord(issue, origins, this.#beganMs.get(key) as number, this.#draws)
      if (scenario !== undefined) out.emit('scenarios', series.entity, scenario)
    }
    if (series.limit === undefined) return
    const anomaly = this.#anomalies.get(key) as AnomalyDetector
    out.emit('risks', series.entity, riskRecord(issue, key, series.limit, anomaly, this.#risks))
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

/** Where the records of a node that forecasts series go. */
export interface SeriesTopics {
  readonly forecasts: string
  readonly risks: string
  /** Absent: no joint scenarios. */
  readonly scenarios?: string
}

/** A round node that forecasts the series of one kind of feature records, per partition; `tables`: calendar and champions. */
export function seriesRound(
  features: RoundInput,
  topics: SeriesTopics,
  settings: SeriesSettings,
  source: SeriesSource,
  tables: ForecastTables = NO_TABLES,
): RoundSpec {
  const { forecasts, scenarios, risks } = topics
  return {
    scope: 'partition',
    inputs: { features },
    outputs: {
      forecasts: { topic: forecasts, record: 'Forecast', marked: true },
      ...(scenarios === undefined
        ? {}
        : { scenarios: { topic: scenarios, record: 'Scenario', marked: true } as const }),
      risks: { topic: risks, record: 'Risk', marked: true },
    },
    snapshotEvery: SNAPSHOT_EVERY,
    create: () => new SeriesProcessor(settings, tables, source),
  }
}
