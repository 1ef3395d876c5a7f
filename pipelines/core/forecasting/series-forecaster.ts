import type { ByteReader, ByteWriter } from '#core/math'
import { LEVELS } from '#core/math'
import { chooseChampion } from './champion.ts'
import { beyondRange, FIRST_FIT, FIRST_LOOK, nextEarlyFit, stepSpread } from './cold-start.ts'
import { Conformal, widen } from './conformal.ts'
import { createModel } from './create-model.ts'
import { dayTypeDoubt, knowsWeek, MOST_LOG_SPREAD } from './day-types.ts'
import { type ForecasterOptions, type ResolvedOptions, resolveOptions } from './forecaster-options.ts'
import { History } from './history.ts'
import type { ForecastModel } from './model.ts'
import type { ModelLibrary } from './model-library.ts'
import { PendingForecasts } from './pending-forecasts.ts'
import { ResidualLog } from './residual-log.ts'
import { decodeScale, fitScale, scaleKindOf, type SeriesScale } from './scale.ts'

/**
 * What became of a value. `accepted`; `restarted`: accepted after a gap longer than the history, all older state
 * forgotten; `not-finite` (value or time), `negative`: taken as a gap; `duplicate`, `backwards`: ignored.
 */
export type Observation = 'accepted' | 'restarted' | 'not-finite' | 'negative' | 'duplicate' | 'backwards'

/** This many values outside the scale since the fit mean that the series has changed its size: fit again. A first negative value does so at once. */
const EXTREMES_BEFORE_REFIT = 6
/** Share of the tracked intervals that survives a fit, if the one before rested on about as many values (a cold start's guess must not survive). */
const KEPT_AT_REFIT = 0.5
const AS_MANY = 0.8
/** How far above all it has seen a logarithmic quantile may reach with 200 values behind it (a factor of 2, more with fewer). */
const HEADROOM = Math.LN2
/** With fewer values that factor is no more than this power of 2. */
const MOST_HEADROOMS = 5
const NOTHING_SEEN = -1

/**
 * The online forecaster of one series: a champion model chosen by rolling backtest at each fit, conformal intervals,
 * and the errors that joint scenarios draw from. One `observe` per window end costs O(1) (O(horizon) with the
 * medians kept for scoring) except when a fit is due, on a schedule that depends on time alone.
 */
export class SeriesForecaster {
  readonly options: ResolvedOptions
  readonly #library: ModelLibrary
  readonly #history: History
  readonly #conformal: Conformal
  readonly #pending: PendingForecasts
  readonly #log: ResidualLog
  readonly #medians: Float64Array
  /** How many of the medians are those of the model as it stands. */
  #told = 0
  #scale: SeriesScale = fitScale([], 'linear')
  #model: ForecastModel = createModel('naive')
  #index = NOTHING_SEEN
  #finite = 0
  #nextEarlyFit = FIRST_LOOK
  #fittedAtMs = 0
  #extremes = 0
  #fittedPoints = 0
  /** Largest and least value seen (warped). */
  #reach = 0
  #floor = 0
  #lastError = 0
  /** The model that stands at every fit without a contest; '' = each fit chooses. */
  #adopted = ''

  /** `library`: what adopted models need beside their name. Throws CONFIG_INVALID on options that cannot work. */
  constructor(options: ForecasterOptions | ResolvedOptions, library: ModelLibrary = {}) {
    this.#library = library
    this.options = 'originGrid' in options ? options : resolveOptions(options)
    const { horizon, historyPoints, originGrid } = this.options
    this.#history = new History(historyPoints)
    this.#conformal = new Conformal(horizon)
    this.#pending = new PendingForecasts(horizon)
    this.#log = new ResidualLog(originGrid, horizon)
    this.#medians = new Float64Array(horizon)
  }

  /** Name of the champion. */
  get modelName(): string {
    return this.#model.name
  }

  /** Champion and time of its fit: `sarima-288/1078272000000`. */
  get modelVersion(): string {
    return `${this.#model.name}/${this.#fittedAtMs}`
  }

  /** End of the last window seen, ms; NaN before the first. */
  get lastMs(): number {
    return this.#index === NOTHING_SEEN ? NaN : this.#index * this.options.stepMs
  }

  /** Finite values held. */
  get points(): number {
    return this.#finite
  }

  /** Share of recent outcomes inside q025..q975. */
  get coverage(): number {
    return this.#conformal.coverage
  }

  /** The one-step error of the last value in multiples of the half width of its 95 % interval (1 = just outside); 0 at the start. */
  get lastError(): number {
    return this.#lastError
  }

  /** Bytes of state, without the fixed cost of the objects (about 1.5 kB). */
  get memoryBytes(): number {
    const parts = [this.#history, this.#conformal, this.#pending, this.#log, this.#model]
    return parts.reduce((sum, part) => sum + part.memoryBytes, 8 * this.#medians.length)
  }

  /** Takes the value of the window that ends at `timeMs` (rounded to the grid of steps). */
  observe(timeMs: number, value: number): Observation {
    const index = Math.round(timeMs / this.options.stepMs)
    if (!Number.isFinite(index) || index < 0) return 'not-finite'
    if (index === this.#index) return 'duplicate'
    if (index < this.#index) return 'backwards'
    const refusal = this.#refusal(value)
    const isStale = this.#index !== NOTHING_SEEN && index - this.#index > this.options.historyPoints
    if (this.#index === NOTHING_SEEN || isStale) this.#restart(index)
    for (let gap = this.#index + 1; gap < index; gap++) this.#step(gap, NaN)
    this.#step(index, refusal === undefined ? value : NaN)
    return refusal ?? (isStale ? 'restarted' : 'accepted')
  }

  /**
   * Starts over from a history (oldest first, NaN = gap, the last value of the window that ended at `lastMs`) with one fit:
   * what a backfill or a batch forecast does instead of observing value by value. Values that `observe` would refuse are gaps.
   */
  start(values: ArrayLike<number>, lastMs: number): void {
    this.#restart(Math.round(lastMs / this.options.stepMs) + 1)
    for (let i = Math.max(0, values.length - this.options.historyPoints); i < values.length; i++) {
      const value = values[i] as number
      this.#history.push(this.#refusal(value) === undefined ? value : NaN)
    }
    this.#fit()
    this.#nextEarlyFit = nextEarlyFit(this.#nextEarlyFit, this.#finite)
    if (this.#finite > 0) this.#keepForScoring(this.#index)
  }

  /**
   * From now on the model of this name stands at every fit, as soon as the history suffices for it; '' lets each fit choose again. History, tracked
   * intervals and scenario errors stay: only the model is fitted anew, at once if there is something to fit.
   */
  adopt(name: string): void {
    if (name === this.#adopted) return
    this.#adopted = name
    if (this.#finite >= FIRST_FIT && name !== '' && name !== this.#model.name) this.#fit()
  }

  /**
   * Changes every value of the history (not gaps; `endMs` of its window) and fits again: when what was taken out of the values
   * before they came here is judged anew.
   */
  rewrite(change: (value: number, endMs: number) => number): void {
    const values = this.#history.values()
    this.#history.clear()
    values.forEach((value, i) => {
      const endMs = (this.#index - values.length + 1 + i) * this.options.stepMs
      this.#history.push(Number.isNaN(value) ? value : change(value, endMs))
    })
    if (this.#finite > 0) this.#fit()
  }

  /** Name of the adopted model; '' if each fit chooses. */
  get adopted(): string {
    return this.#adopted
  }

  /**
   * Quantiles of the next `horizon` steps to `out[6 (h - 1) + level]`, levels as QUANTILE_LEVELS, ascending and
   * finite. Returns false, and fills NaN, if no value has been seen: there is nothing to say.
   */
  forecast(out: Float64Array): boolean {
    const { horizon } = this.options
    if (this.#finite === 0) {
      out.fill(NaN, 0, horizon * LEVELS)
      return false
    }
    this.#writeMedians(horizon)
    for (let h = 1; h <= horizon; h++) this.#quantiles(h, out, (h - 1) * LEVELS)
    return true
  }

  /** The six quantiles of one step (1..horizon) to `out[0..6)`, as `forecast` has them; costs no more than that step needs. */
  quantilesAt(h: number, out: Float64Array): boolean {
    if (this.#finite === 0) {
      out.fill(NaN, 0, LEVELS)
      return false
    }
    this.#writeMedians(h)
    this.#quantiles(h, out, 0)
    return true
  }

  /**
   * Joint draws for h steps ahead, one per origin (`originsAt` gives them), to `out`. An origin without an own error borrows
   * a neighbour's; without any, the quantiles stand in. Returns how many errors were its own; -1 if no value has been seen.
   */
  draws(originsWanted: Float64Array, h: number, out: Float64Array): number {
    if (this.#finite === 0) {
      out.fill(NaN, 0, originsWanted.length)
      return -1
    }
    this.#writeMedians(h)
    const centre = this.#medians[h - 1] as number
    const own = this.#log.draws(originsWanted, h, out, (k) =>
      this.#conformal.offset(h, SPREAD_OVER[k % 5] as number),
    )
    for (let k = 0; k < originsWanted.length; k++) {
      const value = this.#scale.unwarp(centre + (out[k] as number))
      out[k] = this.options.nonNegative ? Math.max(0, value) : value
    }
    return own
  }

  /** Writes the whole state; equal states, equal bytes. */
  encode(writer: ByteWriter): void {
    for (const value of [this.#index, this.#fittedAtMs, this.#reach, this.#floor, this.#lastError])
      writer.f64(value)
    for (const value of [this.#finite, this.#nextEarlyFit, this.#extremes, this.#fittedPoints])
      writer.varint(value)
    writer.text(this.#model.name)
    writer.text(this.#adopted)
    this.#scale.encode(writer)
    for (const part of [this.#model, this.#history, this.#conformal, this.#pending, this.#log])
      part.encode(writer)
  }

  /** Takes over what `encode` wrote with the same options. Throws RangeError otherwise (if the bytes end early). */
  decode(reader: ByteReader): void {
    this.#index = reader.f64()
    this.#fittedAtMs = reader.f64()
    this.#reach = reader.f64()
    this.#floor = reader.f64()
    this.#lastError = reader.f64()
    this.#finite = reader.varint()
    this.#nextEarlyFit = reader.varint()
    this.#extremes = reader.varint()
    this.#fittedPoints = reader.varint()
    this.#model = createModel(reader.text(), this.#library)
    this.#told = 0
    this.#adopted = reader.text()
    this.#scale = decodeScale(reader)
    for (const part of [this.#model, this.#history, this.#conformal, this.#pending, this.#log])
      part.decode(reader)
  }

  #refusal(value: number): 'not-finite' | 'negative' | undefined {
    if (!Number.isFinite(value)) return 'not-finite'
    return this.options.nonNegative && value < 0 ? 'negative' : undefined
  }

  #restart(index: number): void {
    this.#history.clear()
    this.#pending.clear()
    this.#log.clear()
    this.#model = createModel('naive')
    this.#told = 0
    this.#finite = 0
    this.#fittedPoints = 0
    this.#nextEarlyFit = FIRST_LOOK
    this.#index = index - 1
  }

  #step(index: number, value: number): void {
    this.#index = index
    this.#history.push(value)
    const isFirst = this.#finite === 0 && !Number.isNaN(value)
    if (!Number.isNaN(value)) this.#finite++
    if (isFirst) this.#fit()
    else this.#advance(index, value)
    if (this.#finite === 0) return
    if (this.#isFitDue(index)) this.#fit()
    this.#keepForScoring(index)
  }

  #keepForScoring(index: number): void {
    if (index % this.#pending.every !== 0) return
    this.#writeMedians(this.options.horizon)
    this.#pending.add(index, this.#medians)
  }

  #advance(index: number, value: number): void {
    const warped = this.#scale.warp(value)
    if (!Number.isNaN(warped)) {
      this.#score(index, warped)
      this.#reach = Math.max(this.#reach, warped)
      this.#floor = Math.min(this.#floor, warped)
      if (this.#scale.isExtreme(warped)) this.#extremes++
      if (value < 0 && this.#scale.kind === 'log' && this.options.scale === 'auto')
        this.#extremes += EXTREMES_BEFORE_REFIT
    }
    this.#model.update(this.#scale.toModel(warped))
    this.#told = 0
  }

  #score(index: number, warped: number): void {
    this.#writeMedians(1)
    const error = warped - (this.#medians[0] as number)
    const edge = Math.abs(this.#conformal.offset(1, error < 0 ? 0 : Q975))
    this.#lastError = error === 0 ? 0 : error / Math.max(edge, 1e-9 * Math.abs(warped), Number.MIN_VALUE)
    const n = this.#pending.due(index, warped)
    const { dueSteps, dueErrors } = this.#pending
    this.#conformal.observeMany(n, dueSteps, dueErrors)
    this.#log.recordMany(n, index, this.options.stepMs, dueSteps, dueErrors)
  }

  #isFitDue(index: number): boolean {
    if (this.#finite >= this.#nextEarlyFit) {
      this.#nextEarlyFit = nextEarlyFit(this.#nextEarlyFit, this.#finite)
      if (this.#finite < 2 * this.options.refitEvery) return true
    }
    if (this.#extremes >= EXTREMES_BEFORE_REFIT) return true
    return this.#history.length >= FIRST_FIT && (index + this.options.phase) % this.options.refitEvery === 0
  }

  #fit(): void {
    const { horizon, seasons } = this.options
    const values = this.#history.values()
    this.#finite = values.reduce((count, value) => count + (Number.isNaN(value) ? 0 : 1), 0)
    if (this.#finite === 0) {
      this.#restart(this.#index + 1)
      return
    }
    const before = this.#scale.kind
    this.#scale = fitScale(values, scaleKindOf(values, this.options))
    const warped = values.map((value) => this.#scale.warp(value))
    this.#reach = warped.reduce((most, value) => (value > most ? value : most), -Infinity)
    this.#floor = warped.reduce((least, value) => (value < least ? value : least), Infinity)
    const model = warped.map((value) => this.#scale.toModel(value))
    const champion = chooseChampion(model, horizon, seasons, this.#adopted, this.#library, {
      logSpread: this.#scale.kind === 'log' ? this.#scale.spread : 0,
      isWide: this.options.wide === true,
    })
    const isSteady = before === this.#scale.kind && this.#fittedPoints >= AS_MANY * this.#finite
    if (before !== this.#scale.kind) {
      this.#pending.clear()
      this.#log.clear()
    }
    const keep = isSteady ? KEPT_AT_REFIT : 0
    const { spread, prior } = this.#scale
    const step = stepSpread(warped, prior)
    const { errors, origins, stride } = champion
    const few =
      this.options.wide === true && this.#conformal.calibrateFew({ ...champion, horizon }, spread, step)
    if (!few) this.#conformal.calibrate(errors, origins, spread, prior, step, keep, stride)
    this.#model = champion.model
    this.#told = 0
    this.#extremes = 0
    this.#fittedPoints = this.#finite
    this.#fittedAtMs = this.lastMs
  }

  /** Quantiles of step h to `out[at..at + 6)`; its median must have been written. */
  #quantiles(h: number, out: Float64Array, at: number): void {
    const { nonNegative, stepMs } = this.options
    const isLog = this.#scale.kind === 'log'
    const centre = this.#medians[h - 1] as number
    const held = this.#history.length
    this.#conformal.quantiles(h, centre, out, at)
    if (!knowsWeek(stepMs, held)) {
      const spread = isLog ? Math.min(MOST_LOG_SPREAD, this.#scale.spread) : this.#scale.spread
      widen(out, at, centre, spread * dayTypeDoubt(this.lastMs, stepMs, held, h))
    }
    const room = beyondRange(this.#reach - this.#floor, this.#finite, this.#scale.prior)
    const headroom = isLog
      ? Math.min(room, HEADROOM * Math.min(MOST_HEADROOMS, 1 + 200 / this.#finite))
      : room
    const most = Math.max(this.#reach, centre) + headroom
    const least = Math.min(this.#floor, centre) - room
    for (let i = at; i < at + LEVELS; i++) {
      const value = this.#scale.unwarp(Math.max(least, Math.min(most, out[i] as number)))
      out[i] = nonNegative ? Math.max(0, value) : value
    }
  }

  /** Medians (warped) of the next `steps` steps, unless they stand there already. */
  #writeMedians(steps: number): void {
    if (this.#told >= steps) return
    this.#model.forecast(steps, this.#medians)
    for (let h = 0; h < steps; h++) this.#medians[h] = this.#scale.fromModel(this.#medians[h] as number)
    this.#told = steps
  }
}

const Q975 = 4
/** Levels that stand in for unknown errors, in an order that mixes low and high. */
const SPREAD_OVER = [2, 1, 3, 0, 4]
