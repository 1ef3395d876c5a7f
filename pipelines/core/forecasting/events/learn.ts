import { type EffectScale, type EventEffects, type LearntEffect, noEffects } from './effects.ts'
import { coversEntity, eventsKnownAt, type KnownEvent } from './known.ts'
import {
  type GroupColumns,
  groupColumns,
  regress,
  type ShapedGroup,
  type Whitened,
  whitenSeries,
} from './regress.ts'
import { eventShape } from './shape.ts'
import { columnsOf } from './weights.ts'
import { median, sortedFinite, quantileType7 } from '#core/math'

/** A history to learn from. */
export interface EventHistory {
  /** Oldest first, NaN = gap. */
  readonly values: ArrayLike<number>
  /** End of the last window, ms: what becomes known later is not looked at. */
  readonly lastMs: number
  readonly stepMs: number
  /** The main season in steps; 0: none. */
  readonly season: number
  readonly entity: string
}

/** Share of the occurrences that shapes and scales are tried on; the rest judges them. */
const TRIAL_SHARE = 0.6
/** Fewest occurrences for a trial: with less, an effect is believed as far as its prior lets it. */
const FEWEST_FOR_TRIAL = 4
/** An effect that explains less than this share of the errors in the trial is dropped. */
const LEAST_GAIN = 0.02
const LONG_MS = 12 * 3_600_000
const MOST_EFFECTS = 24

/**
 * Learns what the events known at the end of a history did to it, per kind and scope. Regression with ARIMA errors: series
 * and shapes pass the same whitening filter, so that neither level nor season is mistaken for an effect. How long
 * before and after an event it is felt, and whether effects multiply or add, is what foretold later occurrences best
 * when learnt from earlier ones; an effect that foretells nothing is dropped. Usage, around any model:
 *
 *     const known = eventsKnownAt(events, lastMs)
 *     const effects = learnEffects({ values, lastMs, stepMs, season, entity }, known)
 *     model.fit(removeEffects(effects, known, values, lastMs))
 *     model.forecast(quantiles)
 *     addEffects(effects, known, quantiles, lastMs, horizon, 0)
 */
export function learnEffects(history: EventHistory, events: readonly KnownEvent[]): EventEffects {
  const { entity, stepMs, lastMs } = history
  const values = Float64Array.from(history.values)
  const isPositive = values.every((value) => !(value < 0))
  const scales: readonly EffectScale[] = isPositive ? ['log', 'linear'] : ['linear']
  const firstMs = lastMs - values.length * stepMs
  const known = eventsKnownAt(events, lastMs).filter(
    (event) =>
      coversEntity(event.scope, entity) && event.validFromMs < lastMs && event.validToMs > firstMs + stepMs,
  )
  const nothing = noEffects(entity, stepMs, scales[0] as EffectScale)
  if (known.length === 0 || values.length < 24) return nothing
  const groups = [...Map.groupBy(known, ({ kind, scope }) => `${kind}\n${scope}`).values()]
    .sort((a, b) => b.length - a.length)
    .slice(0, MOST_EFFECTS)
  const tried = scales.map((scale) => trial(scale, values, history, groups))
  const best = tried.reduce((a, b) => (b.loss < a.loss ? b : a))
  const effects = learnAll(best)
  return { ...nothing, scale: best.scale, effects }
}

/** One scale, with the shape that foretold best for each group. */
interface Trial {
  readonly scale: EffectScale
  readonly series: Whitened
  readonly unit: number
  readonly chosen: readonly Chosen[]
  /** Mean absolute error of one-step forecasts where events are felt and were not learnt from, in the unit of the series. */
  readonly loss: number
}

interface Chosen {
  readonly group: ShapedGroup
  readonly made: GroupColumns
  /** False: it foretold nothing. */
  readonly isUseful: boolean
}

function trial(
  scale: EffectScale,
  values: Float64Array,
  history: EventHistory,
  groups: readonly (readonly KnownEvent[])[],
): Trial {
  const { stepMs, season, lastMs } = history
  const warp = warpOf(scale, values)
  const warped = values.map(warp.warp)
  const firstMs = lastMs - (values.length - 0.5) * stepMs
  const isFelt = feltBy(groups.flat(), firstMs, stepMs, values.length)
  const series = whitenSeries(warped, season, (t) => isFelt[t] === 1, stepMs, firstMs)
  let loss = 0
  const chosen = groups.map((events) => {
    const best = bestShape(series, events, values, warp)
    loss += best.loss
    return best.chosen
  })
  return { scale, series, unit: warp.unit, chosen, loss }
}

interface Warp {
  readonly warp: (value: number) => number
  readonly unwarp: (warped: number) => number
  readonly unit: number
}

function warpOf(scale: EffectScale, values: Float64Array): Warp {
  const sorted = sortedFinite(values)
  if (scale === 'linear') {
    const spread = quantileType7(sorted, 0.95) - quantileType7(sorted, 0.05)
    return { warp: (value) => value, unwarp: (value) => value, unit: Math.max(spread, 1e-9) }
  }
  const offset = Math.max(1e-12, 0.05 * median(sorted.filter((value) => value > 0)) || 1)
  return {
    warp: (value) => Math.log(value + offset),
    unwarp: (value) => Math.exp(value) - offset,
    unit: 1,
  }
}

function feltBy(events: readonly KnownEvent[], firstMs: number, stepMs: number, length: number): Uint8Array {
  const felt = new Uint8Array(length)
  for (const { validFromMs, validToMs } of events) {
    const from = Math.max(0, Math.floor((validFromMs - firstMs) / stepMs))
    felt.fill(1, from, Math.max(from, Math.ceil((validToMs - firstMs) / stepMs) + 1))
  }
  return felt
}

/** How long before and after, as shares of the duration; events of half a day and more are cut closer. */
const ASIDES: readonly (readonly [lead: number, decay: number])[] = [
  [0, 0],
  [0.5, 0.5],
  [1, 1],
  [0, 2],
  [0.25, 3],
]
const LONG_ASIDES: readonly (readonly [lead: number, decay: number])[] = [
  [0, 0],
  [0.1, 0.15],
  [0, 0.5],
]

function bestShape(
  series: Whitened,
  events: readonly KnownEvent[],
  values: Float64Array,
  warp: Warp,
): { readonly chosen: Chosen; readonly loss: number } {
  const durationMs = median(events.map((event) => event.validToMs - event.validFromMs))
  const splitMs = events[Math.floor(TRIAL_SHARE * events.length)]?.validFromMs ?? 0
  const split = Math.max(0, Math.floor((splitMs - series.firstMs) / series.stepMs))
  const isTried = events.length >= FEWEST_FOR_TRIAL
  let best: Chosen | undefined
  let least = Number.POSITIVE_INFINITY
  const scored = feltBy(events, series.firstMs, series.stepMs, values.length)
  const without = oneStepLoss(series, values, warp, scored, split, undefined)
  for (const [lead, decay] of durationMs >= LONG_MS ? LONG_ASIDES : ASIDES) {
    const shape = eventShape(durationMs, series.stepMs, lead * durationMs, decay * durationMs)
    const group = { events, shape }
    const made = groupColumns(series, group)
    const { coefficients } = regress(series, [{ group, made }], split, warp.unit)
    const loss = oneStepLoss(series, values, warp, scored, split, { made, coefficients })
    if (loss < 0.995 * least) {
      least = loss
      best = { group, made, isUseful: !isTried || loss < (1 - LEAST_GAIN) * without }
    }
  }
  return { chosen: best as Chosen, loss: least }
}

/** Mean absolute one-step error in the unit of the series where scored and not before `split`. */
function oneStepLoss(
  { innovations }: Whitened,
  values: Float64Array,
  { warp, unwarp }: Warp,
  scored: Uint8Array,
  split: number,
  fitted: { readonly made: GroupColumns; readonly coefficients: Float64Array } | undefined,
): number {
  let sum = 0
  let count = 0
  for (let t = split; t < innovations.length; t++) {
    if (scored[t] !== 1 || Number.isNaN(innovations[t])) continue
    let rest = innovations[t] as number
    fitted?.made.columns.forEach((column, i) => {
      rest -= (column[t] as number) * (fitted.coefficients[i] as number)
    })
    const value = values[t] as number
    sum += Math.abs(value - unwarp(warp(value) - rest))
    count++
  }
  return count === 0 ? 0 : sum / count
}

/** One regression on everything with the shapes chosen. */
function learnAll({ series, unit, chosen }: Trial): LearntEffect[] {
  const useful = chosen.filter((c) => c.isUseful)
  const { coefficients, spreads } = regress(series, useful, series.innovations.length, unit)
  let at = 0
  return useful.map(({ group, made }) => {
    const width = columnsOf(group.shape)
    const centre = coefficients.slice(at, at + width)
    const spread = spreads.slice(at, at + width)
    at += width
    const { kind, scope } = group.events[0] as KnownEvent
    return {
      kind,
      scope,
      shape: group.shape,
      occurrences: group.events.length,
      agreeing: agreeing(series, group.events, made, centre),
      centre,
      spread,
      widen: widening(series, made, centre),
    }
  })
}

function fittedAt(made: GroupColumns, centre: Float64Array, t: number): number {
  let sum = 0
  made.columns.forEach((column, i) => {
    sum += (column[t] as number) * (centre[i] as number)
  })
  return sum
}

/** Occurrences during which the innovations go with the fitted ones rather than against them. */
function agreeing(
  series: Whitened,
  events: readonly KnownEvent[],
  made: GroupColumns,
  centre: Float64Array,
): number {
  return events.filter((event) => {
    const from = Math.max(0, Math.floor((event.validFromMs - series.firstMs) / series.stepMs))
    const to = Math.ceil((event.validToMs - series.firstMs) / series.stepMs) + 1
    let sum = 0
    for (let t = from; t < Math.min(to, series.innovations.length); t++) {
      const innovation = series.innovations[t] as number
      if (!Number.isNaN(innovation)) sum += innovation * fittedAt(made, centre, t)
    }
    return sum > 0
  }).length
}

const MOST_WIDENING = 4

/** Mean absolute innovation that the effect leaves while it is felt, over that of other times. */
function widening(series: Whitened, made: GroupColumns, centre: Float64Array): number {
  let during = 0
  let count = 0
  let other = 0
  let others = 0
  series.innovations.forEach((innovation, t) => {
    if (Number.isNaN(innovation)) return
    if (made.felt[t]) {
      during += Math.abs(innovation - fittedAt(made, centre, t))
      count++
    } else {
      other += Math.abs(innovation)
      others++
    }
  })
  if (count === 0 || others === 0 || other === 0) return 1
  // A few windows say little: the ratio starts at 1 and counts in full after some dozens.
  const ratio = during / count / (other / others)
  return Math.max(1, Math.min(MOST_WIDENING, 1 + ((ratio - 1) * count) / (count + 12)))
}
