import { median } from '#core/math'
import type { KnownEvent } from './known.ts'
import { ridgeFit, type RidgeFit } from './ridge.ts'
import { type EventShape, isPinned, knotsOf } from './shape.ts'
import { columnsOf, columnWeights } from './weights.ts'
import { chooseWhitening, warmUp, whiten, type Whitening } from './whiten.ts'

/** A series ready for regression: warped, without gaps, whitened. */
export interface Whitened {
  readonly whitening: Whitening
  /** Innovations; NaN where the value was a gap or the filter has no past. */
  readonly innovations: Float64Array
  /** Typical size of an innovation outside events, > 0. */
  readonly noise: number
  readonly stepMs: number
  /** Middle of the first window, ms. */
  readonly firstMs: number
}

/** Events of one kind and scope with a shape to try. */
export interface ShapedGroup {
  readonly events: readonly KnownEvent[]
  readonly shape: EventShape
}

/** Whitened columns of a group, one per knot and per knot again for their number; and how many are felt at each step. */
export interface GroupColumns {
  readonly columns: readonly Float64Array[]
  readonly felt: Uint8Array
}

/** Prior standard deviation of an effect at a knot, and of its bend, in units of `unit`. */
const PRIOR = 1
const PRIOR_MORE = 0.5
const PRIOR_BEND = 0.3
/** Innovations beyond this many times the noise count less (Huber). */
const HUBER = 3
const PINNED = 1e9

/** Whitens warped values (NaN = gap). `felt`: steps that belong to events and must not decide the filter. */
export function whitenSeries(
  warped: Float64Array,
  season: number,
  felt: (t: number) => boolean,
  stepMs: number,
  firstMs: number,
): Whitened {
  const filled = filledGaps(warped, season)
  const isCalm = (t: number) => !felt(t) && !Number.isNaN(warped[t])
  const whitening = chooseWhitening(filled, season, isCalm)
  const innovations = new Float64Array(warped.length)
  whiten(filled, whitening, innovations)
  const calm: number[] = []
  for (let t = 0; t < warped.length; t++) {
    if (t < warmUp(whitening) || Number.isNaN(warped[t])) innovations[t] = Number.NaN
    else if (!felt(t)) calm.push(Math.abs(innovations[t] as number))
  }
  const typical = 1.4826 * median(calm)
  return { whitening, innovations, noise: typical > 0 ? typical : 1e-6, stepMs, firstMs }
}

/** The whitened regressors of a group. */
export function groupColumns(series: Whitened, { events, shape }: ShapedGroup): GroupColumns {
  const n = series.innovations.length
  const raw = Array.from({ length: columnsOf(shape) }, () => new Float64Array(n))
  const felt = new Uint8Array(n)
  for (const [from, to] of feltRanges(series, events, shape)) {
    for (let t = from; t < to; t++) {
      if (felt[t]) continue
      const timeMs = series.firstMs + t * series.stepMs
      felt[t] = columnWeights(shape, events, timeMs, series.stepMs, (column, weight) => {
        const values = raw[column] as Float64Array
        values[t] = (values[t] as number) + weight
      })
    }
  }
  for (const column of raw) whiten(column.slice(), series.whitening, column)
  return { columns: raw, felt }
}

function feltRanges(
  { innovations, stepMs, firstMs }: Whitened,
  events: readonly KnownEvent[],
  { leadMs, decayMs }: EventShape,
): [from: number, to: number][] {
  return events.map((event) => [
    Math.max(0, Math.floor((event.validFromMs - leadMs - firstMs) / stepMs)),
    Math.min(innovations.length, Math.ceil((event.validToMs + stepMs + decayMs - firstMs) / stepMs) + 1),
  ])
}

/** Regresses the innovations before step `until` on the columns of all groups. `unit`: size of an effect that would not surprise. */
export function regress(
  series: Whitened,
  groups: readonly { readonly group: ShapedGroup; readonly made: GroupColumns }[],
  until: number,
  unit: number,
): RidgeFit {
  const columns = groups.flatMap(({ made }) => made.columns)
  const n = columns.length
  let fit: RidgeFit = { coefficients: new Float64Array(n), spreads: new Float64Array(n) }
  for (let pass = 0; pass < 2; pass++) {
    const gram = new Float64Array(n * n)
    const moment = new Float64Array(n)
    accumulate(series, columns, fit.coefficients, until, gram, moment)
    let at = 0
    for (const { group } of groups) {
      addPrior(gram, n, at, group.shape, series.noise / unit)
      at += columnsOf(group.shape)
    }
    fit = ridgeFit(gram, moment, n, series.noise ** 2)
  }
  return fit
}

/** Sums of products, each row weighed down by how far it lies from the fit so far. */
function accumulate(
  series: Whitened,
  columns: readonly Float64Array[],
  coefficients: Float64Array,
  until: number,
  gram: Float64Array,
  moment: Float64Array,
): void {
  const n = columns.length
  const used = new Int32Array(n)
  for (let t = 0; t < until; t++) {
    const y = series.innovations[t] as number
    if (Number.isNaN(y)) continue
    let count = 0
    let rest = y
    for (let i = 0; i < n; i++) {
      const x = (columns[i] as Float64Array)[t] as number
      if (x === 0) continue
      used[count++] = i
      rest -= x * (coefficients[i] as number)
    }
    if (count === 0) continue
    const weight = Math.min(1, (HUBER * series.noise) / Math.max(1e-300, Math.abs(rest)))
    for (let a = 0; a < count; a++) {
      const i = used[a] as number
      const x = weight * ((columns[i] as Float64Array)[t] as number)
      moment[i] = (moment[i] as number) + x * y
      for (let b = 0; b <= a; b++) {
        const j = used[b] as number
        gram[i * n + j] = (gram[i * n + j] as number) + x * ((columns[j] as Float64Array)[t] as number)
      }
    }
  }
}

/** Effects are of size `unit` at most, and bend little from knot to knot; `ratio` = noise / unit. Fills the lower triangle. */
function addPrior(gram: Float64Array, n: number, at: number, shape: EventShape, ratio: number): void {
  const knots = knotsOf(shape)
  const add = (i: number, j: number, value: number) => {
    const low = at + Math.max(i, j)
    const other = at + Math.min(i, j)
    gram[low * n + other] = (gram[low * n + other] as number) + value
  }
  const bend = (ratio / PRIOR_BEND) ** 2
  for (const [from, prior] of [
    [0, PRIOR],
    [knots, PRIOR_MORE],
  ] as const) {
    for (let k = 0; k < knots; k++)
      add(from + k, from + k, (ratio / prior) ** 2 + (isPinned(shape, k) ? PINNED : 0))
    for (let k = 1; k < knots - 1; k++) {
      const parts: readonly (readonly [number, number])[] = [
        [from + k - 1, 1],
        [from + k, -2],
        [from + k + 1, 1],
      ]
      for (const [i, wi] of parts) for (const [j, wj] of parts) if (i >= j) add(i, j, bend * wi * wj)
    }
  }
}

/** Gaps take the value a season before, or the last one known. */
function filledGaps(values: Float64Array, season: number): Float64Array {
  const filled = values.slice()
  let latest = filled.find((value) => !Number.isNaN(value)) ?? 0
  for (let t = 0; t < filled.length; t++) {
    if (Number.isNaN(filled[t]))
      filled[t] = season > 1 && t >= season ? (filled[t - season] as number) : latest
    latest = filled[t] as number
  }
  return filled
}
