import type { Forecast, QueryFeature, QueryPattern, Risk, ServiceFeature } from '#schemas'
import { eventsKnownAt, type ForecastTables, type KnownEvent, NO_TABLES } from '#core/forecasting'
import { featureInput, SILENT } from '#core/features'
import { ByteReader, ByteWriter } from '#core/math'
import { ForestallError } from '#core/ports'
import {
  defineTopology,
  type Round,
  type RoundOutput,
  type RoundProcessor,
  type Topology,
} from '#core/runtime'
import { Yardsticks, type Yardstick } from '#core/subsystem'
import { announcedWork, eventNames, liftOf } from './calendar.ts'
import { type DataConfig, type DataService, segmentId } from './config.ts'
import { FEATURES } from './features.ts'
import { segmentOf } from './placement/index.ts'
import { PatternRates, PooledForecaster, TotalForecaster } from './predict/index.ts'

/** Name of the topology: its consumer group. */
export const FORECASTS = 'data.forecasts'
/** The series: work per window, of a segment or of a whole service. */
export const WORK = 'work'
/** Windows between the last one seen and the one that a placement decided now serves. */
export const PLACEMENT_AHEAD = 2

const MODEL = 'pooled'
const VERSION = 'pooled-2'
/** Changes with the form of the state. */
const STATE_VERSION = 'service-forecasts-2'
const SNAPSHOT_EVERY = 96
const DAYS = 7
/** Longer silence is left out, and the hours shift. */
const MOST_FILLED = 96
/** Load of all instances above which the service is at risk. */
const FULL = 0.9
const LEVELS = 200
/** Standard deviations of the published quantiles of a normal distribution. */
const Z = { q025: -1.96, q10: -1.2816, q90: 1.2816, q975: 1.96, q99: 2.3263 } as const

/** Standard deviation of a forecast, from its quantiles. */
export const deviationOf = (forecast: Forecast): number => Math.max(0, forecast.q90 - forecast.q50) / Z.q90

/** The forecasts of one service. */
class ServiceForecasts {
  readonly service: DataService
  readonly segments: PooledForecaster
  readonly total: TotalForecaster
  /** Of every segment, and last of the total. */
  readonly yardsticks: Yardsticks
  /** End of the first window seen, ms since 1970: step 0. */
  readonly #windowMs: number
  #firstMs = Number.NaN
  #level = 0
  #nowMs = 0

  constructor(config: DataConfig, service: DataService, events: () => readonly KnownEvent[]) {
    const { segments, dayWindows: day, windowMs, leadWindows } = config
    this.service = service
    this.#windowMs = windowMs
    const announced = (step: number): Float64Array | null => {
      const endMs = this.#firstMs + step * windowMs
      const about = { service: service.service, segments, level: this.#level }
      return announcedWork(events(), about, { startMs: endMs - windowMs, endMs, knownMs: this.#nowMs })
    }
    this.segments = new PooledForecaster({ segments, day, week: DAYS * day }, PLACEMENT_AHEAD, announced)
    const total = (step: number) => announced(step)?.reduce((a, b) => a + b, 0) ?? 0
    this.total = new TotalForecaster(day, DAYS * day, leadWindows + 1, total)
    this.yardsticks = new Yardsticks(segments + 1, day)
  }

  /** Takes a window in. A gap of silence is filled with what came last, so that hours stay where they are. */
  observe(timeMs: number, work: Float64Array): void {
    if (Number.isNaN(this.#firstMs)) this.#firstMs = timeMs
    const missing = Math.round((timeMs - this.#firstMs) / this.#windowMs) - this.total.steps
    for (let k = Math.min(missing, MOST_FILLED); k > 0; k--) {
      this.yardsticks.observe(null)
      this.#take(timeMs - k * this.#windowMs, this.segments.state.last.slice())
    }
    if (missing > MOST_FILLED) this.#firstMs += (missing - MOST_FILLED) * this.#windowMs
    this.yardsticks.observe([...work, work.reduce((a, b) => a + b, 0)])
    this.#take(timeMs, work)
  }

  #take(timeMs: number, work: Float64Array): void {
    this.#nowMs = timeMs
    const total = work.reduce((a, b) => a + b, 0)
    this.#level += Math.max(0.01, 1 / (this.total.steps + 1)) * (total - this.#level)
    this.segments.observe(work)
    this.total.observe(total)
  }

  encode(out: ByteWriter): void {
    out.text(STATE_VERSION)
    for (const x of [this.#firstMs, this.#level, this.#nowMs]) out.f64(x)
    this.segments.encode(out)
    this.total.encode(out)
    this.yardsticks.encode(out)
  }

  decode(from: ByteReader): void {
    if (from.text() !== STATE_VERSION)
      throw new ForestallError('STATE_UNREADABLE', `the state is not one of ${STATE_VERSION}`)
    this.#firstMs = from.f64()
    this.#level = from.f64()
    this.#nowMs = from.f64()
    this.segments.decode(from)
    this.total.decode(from)
    this.yardsticks.decode(from)
  }
}

/** Forecasts of every segment and of every service as a whole, and the risk that a service is overloaded. */
class ServiceProcessor implements RoundProcessor {
  readonly #config: DataConfig
  readonly #tables: ForecastTables
  readonly #services: ServiceForecasts[]
  #areTablesRead = false

  constructor(config: DataConfig, tables: ForecastTables) {
    this.#config = config
    this.#tables = tables
    this.#services = config.services.map((s) => new ServiceForecasts(config, s, () => tables.events()))
  }

  async onRound(round: Round, out: RoundOutput): Promise<void> {
    if (!this.#areTablesRead) await this.#tables.ready()
    this.#areTablesRead = true
    const rows = new Map(((round.rows['features'] ?? []) as ServiceFeature[]).map((r) => [r.service_id, r]))
    for (const forecasts of this.#services) {
      const work = rows.get(forecasts.service.service)?.segment_work
      forecasts.observe(round.timeMs, Float64Array.from(work ?? new Float64Array(this.#config.segments)))
      this.#publish(forecasts, round.timeMs, round.replayed ? SILENT : out)
    }
  }

  #publish(of: ServiceForecasts, issuedMs: number, out: RoundOutput): void {
    const { service, segments, yardsticks } = of
    const { mean, deviation } = segments.forecast()
    for (let s = 0; s < mean.length; s++) {
      const m = mean[s]!
      const d = deviation[s]!
      const at = (z: number) => Math.max(0, m + z * d)
      const entity = segmentId(service.service, s)
      out.emit('forecasts', entity, {
        ...this.#head(entity, issuedMs, PLACEMENT_AHEAD, yardsticks.of(s, PLACEMENT_AHEAD)),
        q025: at(Z.q025),
        q10: at(Z.q10),
        q50: m,
        q90: m + Z.q90 * d,
        q975: at(Z.q975),
        q99: at(Z.q99),
      })
    }
    this.#publishTotal(of, issuedMs, out)
  }

  #publishTotal({ service, total, yardsticks }: ServiceForecasts, issuedMs: number, out: RoundOutput): void {
    const { leadWindows, windowMs, scope, segments } = this.#config
    const ahead = leadWindows + 1
    const forecast = total.forecast().at(-1)!
    const quantile = (p: number) => forecast.quantile(p)
    const [q10, q50, q90] = [quantile(0.1), quantile(0.5), quantile(0.9)]
    out.emit('forecasts', service.service, {
      ...this.#head(service.service, issuedMs, ahead, yardsticks.of(segments, ahead)),
      q025: quantile(0.025),
      q10,
      q50,
      q90,
      q975: quantile(0.975),
      q99: quantile(0.99),
    })
    const limit = FULL * service.capacity * service.instances.length
    let above = 0
    for (let k = 0; k < LEVELS; k++) if (quantile((k + 0.5) / LEVELS) > limit) above++
    const endMs = issuedMs + ahead * windowMs
    const window = { startMs: issuedMs, endMs, knownMs: issuedMs }
    const risk: Risk = {
      scope,
      entity: service.service,
      metric: WORK,
      issued_at_ms: issuedMs,
      horizon_ms: ahead * windowMs,
      probability: above / LEVELS,
      limit,
      q10,
      q50,
      q90,
      anomaly_score: 0,
      anomaly_direction: 0,
      anomaly_metric: '',
      drivers: [
        `${q50.toFixed(0)} of work expected (${q10.toFixed(0)} to ${q90.toFixed(0)}); ${service.instances.length} instances do ${limit.toFixed(0)} at 90 %`,
        ...eventNames(this.#tables.events(), service.service, window),
      ],
      model_version: VERSION,
    }
    out.emit('risks', service.service, risk)
  }

  #head(entity: string, issuedMs: number, steps: number, yardstick: Yardstick) {
    const { scope, windowMs } = this.#config
    return {
      scope,
      entity,
      metric: WORK,
      issued_at_ms: issuedMs,
      target_ms: issuedMs + steps * windowMs,
      horizon_ms: steps * windowMs,
      model: MODEL,
      model_version: VERSION,
      ...yardstick,
    }
  }

  snapshot(): Uint8Array {
    const out = new ByteWriter(1 << 20)
    for (const service of this.#services) service.encode(out)
    return out.take()
  }

  restore(bytes: Uint8Array): void {
    const from = new ByteReader(bytes)
    for (const service of this.#services) service.decode(from)
  }
}

/** The probability of every query pattern in the next interval. */
class PatternProcessor implements RoundProcessor {
  readonly #config: DataConfig
  readonly #tables: ForecastTables
  readonly #rates: PatternRates
  #areTablesRead = false

  constructor(config: DataConfig, tables: ForecastTables) {
    this.#config = config
    this.#tables = tables
    this.#rates = new PatternRates(config.maxPatterns)
  }

  async onRound(round: Round, out: RoundOutput): Promise<void> {
    if (!this.#areTablesRead) await this.#tables.ready()
    this.#areTablesRead = true
    const counts = new Map<string, number>()
    for (const row of (round.rows['features'] ?? []) as QueryFeature[]) counts.set(row.pattern, row.queries)
    const { windowMs, patternWindows } = this.#config
    this.#rates.observe(round.timeMs - windowMs, counts)
    if (round.replayed || Math.floor(round.timeMs / windowMs) % patternWindows !== 0) return
    this.#publish(round.timeMs, out)
  }

  #publish(issuedMs: number, out: RoundOutput): void {
    const { windowMs, patternWindows, leastProbability, segments } = this.#config
    const endMs = issuedMs + patternWindows * windowMs
    const known = eventsKnownAt(this.#tables.events(), issuedMs)
    const found: { name: string; expected: number; record: QueryPattern }[] = []
    const totals = new Map<string, number>()
    for (const name of this.#rates.names()) {
      const [service = '', operation = '', ...rest] = name.split('|')
      const entity = rest.join('|')
      const lift =
        known.length === 0
          ? 1
          : liftOf(known, service, entity, { startMs: issuedMs, endMs, knownMs: issuedMs })
      const f = this.#rates.expect(name, issuedMs, windowMs, patternWindows, lift)
      totals.set(service, (totals.get(service) ?? 0) + f.expected)
      if (f.probability < leastProbability) continue
      const record: QueryPattern = {
        pattern: name,
        entity_id: entity,
        service_id: service,
        operation_id: operation,
        segment_id: segmentId(service, segmentOf(entity, segments)),
        issued_at_ms: issuedMs,
        interval_start_ms: issuedMs,
        interval_end_ms: endMs,
        probability: f.probability,
        share: 0,
        queries_q50: f.q50,
        queries_q90: f.q90,
        model: 'gamma-poisson',
        model_version: 'cycles-1',
      }
      found.push({ name, expected: f.expected, record })
    }
    for (const { name, expected, record } of found) {
      const total = totals.get(record.service_id) ?? 0
      out.emit('patterns', name, { ...record, share: total > 0 ? expected / total : 0 })
    }
  }

  snapshot(): Uint8Array {
    const out = new ByteWriter(1 << 16)
    this.#rates.encode(out)
    return out.take()
  }

  restore(bytes: Uint8Array): void {
    this.#rates.decode(new ByteReader(bytes))
  }
}

/** features.services to forecasts and risks, features.queries to pattern probabilities; `tables`: the calendar. */
export function forecastsTopology(config: DataConfig, tables: ForecastTables = NO_TABLES): Topology {
  return defineTopology({
    name: FORECASTS,
    rounds: {
      services: {
        scope: 'all',
        inputs: { features: featureInput('features.services', 'ServiceFeature', FEATURES, 'services') },
        outputs: {
          forecasts: { topic: 'forecasts.data', record: 'Forecast', marked: true },
          risks: { topic: 'risks.data', record: 'Risk', marked: true },
        },
        snapshotEvery: SNAPSHOT_EVERY,
        create: () => new ServiceProcessor(config, tables),
      },
      patterns: {
        scope: 'partition',
        inputs: { features: featureInput('features.queries', 'QueryFeature', FEATURES, 'patterns') },
        outputs: { patterns: { topic: 'forecasts.patterns', record: 'QueryPattern', marked: true } },
        snapshotEvery: SNAPSHOT_EVERY,
        create: () => new PatternProcessor(config, tables),
      },
    },
  })
}
