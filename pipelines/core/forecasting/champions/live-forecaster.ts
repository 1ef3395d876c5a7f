import type { ByteReader, ByteWriter } from '#core/math'
import { LEVELS } from '#core/math'
import { applyForce, eventForce, type EventForce, type KnownEvent, noEffects } from '../events/index.ts'
import type { ResolvedOptions } from '../forecaster-options.ts'
import type { ModelLibrary } from '../model-library.ts'
import { LiveCoverage, SeasonalNaive } from '../scoring/index.ts'
import { type Observation, SeriesForecaster } from '../series-forecaster.ts'
import { profileAt } from './features.ts'
import { isMade } from './is-made.ts'
import type { SeriesModel } from './series-model.ts'
import { decodeModel, encodeModel } from './state.ts'

/** A borrowed profile is given back once the series has as many seasons of its own: then its own models know the season. */
const OWN_SEASONS = 3.4
const NOTHING_SEEN = -1

/**
 * A series as it is forecast live: the base forecaster works on the series as it would be without events (and without a season borrowed
 * from similar series while it is young), what was taken out is added to its forecasts with its uncertainty, and the
 * width of the intervals is corrected by their live coverage. A champion is adopted without losing what was learnt online.
 * Events passed in must be known at the time (`eventsKnownAt`).
 */
export class LiveForecaster {
  readonly #entity: string
  readonly #options: ResolvedOptions
  readonly #library: ModelLibrary
  readonly #base: SeriesForecaster
  readonly #coverage: LiveCoverage
  readonly #naive: SeasonalNaive
  /** The last forecast asked for, and the events it was made with: several ask for the same one. */
  readonly #quantiles: Float64Array
  #toldOf: readonly KnownEvent[] | undefined
  #events: readonly KnownEvent[] = []
  #model: SeriesModel
  #index = NOTHING_SEEN

  /** `library`: what champions need beside their name. */
  constructor(options: ResolvedOptions, entity: string, library: ModelLibrary = {}) {
    this.#library = library
    this.#entity = entity
    this.#options = options
    this.#base = new SeriesForecaster(options, library)
    this.#coverage = new LiveCoverage(options.horizon)
    this.#naive = new SeasonalNaive(options.seasons[0] ?? 1)
    this.#quantiles = new Float64Array(options.horizon * LEVELS)
    this.#model = ownModel(entity, options.stepMs)
  }

  get modelName(): string {
    return this.#base.modelName
  }

  /** Model, time of its fit, and the version of the champion it follows: `sarima-288/1078272000000/1078271990000`. */
  get modelVersion(): string {
    const { version } = this.#model
    return version > 0 ? `${this.#base.modelVersion}/${version}` : this.#base.modelVersion
  }

  /** The champion's record it follows; version 0: none of its own. */
  get model(): SeriesModel {
    return this.#model
  }

  /** Finite values held. */
  get points(): number {
    return this.#base.points
  }

  /** Share of recent outcomes inside the 95 % intervals as issued, one step ahead. */
  get coverage(): number {
    return this.#coverage.coverage
  }

  /** Factor on the width of its intervals that live coverage has asked for. */
  get widthFactor(): number {
    return this.#coverage.factor
  }

  /** Mean absolute error of the seasonal naive so far; null while unknown or 0. */
  get scale(): number | null {
    return this.#naive.scale
  }

  /** End of the last window seen, ms; NaN before the first. */
  get lastMs(): number {
    return this.#base.lastMs
  }

  get memoryBytes(): number {
    return this.#base.memoryBytes + this.#coverage.memoryBytes + this.#naive.memoryBytes
  }

  /** What the seasonal naive says of h steps ahead; null before the first value. */
  seasonalNaive(h: number): number | null {
    const value = this.#naive.forecast(h)
    return Number.isFinite(value) ? value : null
  }

  /** Takes the value of the window that ends at `timeMs`. */
  observe(timeMs: number, value: number, events: readonly KnownEvent[]): Observation {
    const index = Math.round(timeMs / this.#options.stepMs)
    const isNew = Number.isFinite(index) && index > this.#index
    const isCalm = events.length === 0 && this.#model.profile.length === 0
    const cleaned =
      isCalm || !Number.isFinite(value) ? value : undo(this.#forceAt(timeMs, events), this.#scale, value)
    const observation = this.#base.observe(timeMs, cleaned)
    if (!isNew || index < 0) return observation
    const taken = observation === 'accepted' || observation === 'restarted' ? value : Number.NaN
    this.#coverage.observe(index, taken)
    const gaps = this.#index === NOTHING_SEEN ? 0 : index - this.#index - 1
    for (let i = Math.min(gaps, this.#options.historyPoints); i > 0; i--) this.#naive.observe(Number.NaN)
    this.#naive.observe(taken)
    this.#index = index
    this.#outgrow(events)
    this.#toldOf = undefined
    if (this.#base.points > 0) {
      this.#events = events
      this.#coverage.issue(index, this.#least, this.#quantilesAt)
    }
    return observation
  }

  /** Quantiles of the next steps as `SeriesForecaster.forecast`, with events and corrected widths. */
  forecast(out: Float64Array, events: readonly KnownEvent[]): boolean {
    if (events === this.#toldOf) {
      out.set(this.#quantiles)
      return true
    }
    if (!this.#forecastInto(out, events)) return false
    this.#coverage.apply(out, this.#options.horizon, this.#least)
    this.#quantiles.set(out.subarray(0, this.#quantiles.length))
    this.#toldOf = events
    return true
  }

  /** Joint draws as `SeriesForecaster.draws`, moved by the effects of events. */
  draws(origins: Float64Array, h: number, out: Float64Array, events: readonly KnownEvent[]): number {
    const own = this.#base.draws(origins, h, out)
    const { centre } = this.#forceAt(this.lastMs + h * this.#options.stepMs, events)
    if (own < 0 || centre === 0) return own
    for (let k = 0; k < origins.length; k++) {
      const value = out[k] as number
      out[k] = Math.max(this.#least, this.#scale === 'log' ? value * Math.exp(centre) : value + centre)
    }
    return own
  }

  /**
   * Follows a champion from now on, if its version is higher than the one it follows (0, a borrowed one, only while it follows none). The history
   * is cleaned anew by the champion's effects; intervals, scores and scenario errors go on. One that cannot be made (its network has not come) is
   * not followed yet.
   */
  adopt(model: SeriesModel, events: readonly KnownEvent[]): boolean {
    const isBorrowed = model.similarTo !== ''
    const isNewer = isBorrowed
      ? this.#model.version === 0 && this.#model.similarTo === ''
      : model.version > this.#model.version
    if (!isNewer || !isMade(model.model, this.#library)) return false
    this.#toldOf = undefined
    this.#replace(isBorrowed ? model : { ...model, profile: new Float64Array(0) }, events)
    this.#base.adopt(model.model)
    return true
  }

  encode(writer: ByteWriter): void {
    encodeModel(writer, this.#model)
    writer.f64(this.#index)
    this.#base.encode(writer)
    this.#coverage.encode(writer)
    this.#naive.encode(writer)
  }

  decode(reader: ByteReader): void {
    this.#model = decodeModel(reader, this.#entity, this.#options.stepMs)
    this.#index = reader.f64()
    this.#toldOf = undefined
    this.#base.decode(reader)
    this.#coverage.decode(reader)
    this.#naive.decode(reader)
  }

  get #scale(): 'log' | 'linear' {
    return this.#model.effects.scale
  }

  get #least(): number {
    return this.#options.nonNegative ? 0 : Number.NEGATIVE_INFINITY
  }

  #forecastInto(out: Float64Array, events: readonly KnownEvent[]): boolean {
    const { horizon, stepMs } = this.#options
    if (!this.#base.forecast(out)) return false
    if (events.length === 0 && this.#model.profile.length === 0) return true
    for (let h = 1; h <= horizon; h++) {
      const force = this.#forceAt(this.lastMs + h * stepMs, events)
      applyForce(this.#scale, force, out, (h - 1) * LEVELS, this.#least)
    }
    return true
  }

  /** Quantiles of one step, before their width is corrected, with the events of the last value: what coverage remembers. */
  readonly #quantilesAt = (h: number, out: Float64Array): void => {
    this.#base.quantilesAt(h, out)
    if (this.#events.length === 0 && this.#model.profile.length === 0) return
    const force = this.#forceAt(this.lastMs + h * this.#options.stepMs, this.#events)
    applyForce(this.#scale, force, out, 0, this.#least)
  }

  #forceAt(endMs: number, events: readonly KnownEvent[]): EventForce {
    return forceOf(this.#model, events, endMs, this.#options.stepMs)
  }

  /** Swaps what is taken out of the values: the history is put back as it was and cleaned anew. */
  #replace(model: SeriesModel, events: readonly KnownEvent[]): void {
    const before = this.#model
    this.#model = model
    if (isPlain(before) && isPlain(model)) return
    const { stepMs } = this.#options
    this.#base.rewrite((value, endMs) => {
      const raw = redo(forceOf(before, events, endMs, stepMs), before.effects.scale, value)
      return undo(forceOf(model, events, endMs, stepMs), model.effects.scale, raw)
    })
  }

  /** A borrowed season ends when the series knows its own; a champion chosen on half of what is known now binds no longer. */
  #outgrow(events: readonly KnownEvent[]): void {
    const { similarTo, profile, version, points } = this.#model
    if (similarTo === '' && version > 0 && this.points >= 2 * points) this.#base.adopt('')
    if (similarTo === '' || this.points < OWN_SEASONS * (this.#options.seasons[0] ?? 1)) return
    if (profile.length > 0) this.#replace({ ...this.#model, profile: new Float64Array(0) }, events)
    this.#model = { ...this.#model, similarTo: '' }
    this.#base.adopt('')
  }
}

const ownModel = (entity: string, stepMs: number): SeriesModel => ({
  model: '',
  version: 0,
  trainedThroughMs: 0,
  points: 0,
  effects: noEffects(entity, stepMs, 'log'),
  profile: new Float64Array(0),
  profileMs: 0,
  spread: 1,
  features: new Float64Array(0),
  similarTo: '',
})

const isPlain = ({ effects, profile }: SeriesModel): boolean =>
  effects.effects.length === 0 && profile.length === 0

function forceOf(
  model: SeriesModel,
  events: readonly KnownEvent[],
  endMs: number,
  stepMs: number,
): EventForce {
  const { effects, profile, profileMs } = model
  const force = eventForce(effects, events, endMs)
  if (profile.length === 0 || effects.scale !== 'log') return force
  return { ...force, centre: force.centre + profileAt(profile, profileMs, endMs - stepMs / 2) }
}

const undo = ({ centre }: EventForce, scale: 'log' | 'linear', value: number): number =>
  centre === 0 ? value : scale === 'log' ? value * Math.exp(-centre) : value - centre

const redo = ({ centre }: EventForce, scale: 'log' | 'linear', value: number): number =>
  centre === 0 ? value : scale === 'log' ? value * Math.exp(centre) : value + centre
