import type { ByteReader, ByteWriter } from '#core/math'
import { choleskySolve } from './cholesky.ts'
import type { ForecastModel } from './model.ts'
import { filledGaps } from './profiles.ts'
import { Ring } from './ring.ts'

/** Ridge penalty as a share of the mean square of the inputs. */
const RIDGE = 1e-3
const LARGEST = 1e3
const held = (value: number): number => Math.max(-LARGEST, Math.min(LARGEST, value))

/**
 * Linear autoregression by ridge least squares, iterated ahead, of the values (`ar-24-168`) or of their difference to the longest season
 * before (`dar-24-168`). Cheaper than any model with a state, and it errs in other ways, which a median of several needs.
 * A gap counts as the value a longest season before. Update O(1); forecast O(lags) a step; fit about 0.1 microseconds
 * per point and pair of lags.
 */
export class Autoregression implements ForecastModel {
  readonly name: string
  readonly minPoints: number
  readonly memoryBytes: number
  readonly #lags: readonly number[]
  readonly #difference: number
  readonly #season: number
  readonly #ring: Ring
  readonly #reach: number
  /** One per lag, then the constant. */
  readonly #weights: Float64Array

  /** `seasons`: steps, ascending. `isDifferenced`: model y_t - y_(t-m) with the longest season m. */
  constructor(seasons: readonly number[], isDifferenced: boolean) {
    this.name = `${isDifferenced ? 'dar' : 'ar'}-${seasons.join('-')}`
    this.#season = seasons.at(-1) as number
    this.#difference = isDifferenced ? this.#season : 0
    this.#lags = isDifferenced ? differencedLags(seasons) : plainLags(seasons)
    this.#reach = (this.#lags.at(-1) as number) + this.#difference
    this.minPoints = this.#reach + 10 * this.#lags.length
    this.#ring = new Ring(this.#reach)
    this.#weights = new Float64Array(this.#lags.length + 1)
    this.memoryBytes = this.#ring.memoryBytes + this.#weights.byteLength
  }

  fit(values: Float64Array): void {
    const filled = filledGaps(values, this.#season)
    this.#weights.set(ridgeWeights(this.#differenced(filled), values, this.#lags, this.#difference))
    this.#ring.fill(filled[0] ?? 0)
    for (let t = Math.max(0, filled.length - this.#reach); t < filled.length; t++)
      this.#ring.push(filled[t] as number)
  }

  update(value: number): void {
    this.#ring.push(Number.isNaN(value) ? this.#ring.back(this.#season) : held(value))
  }

  forecast(horizon: number, out: Float64Array): void {
    const d = this.#difference
    const n = this.#lags.length
    const y = (h: number, lag: number): number =>
      lag <= h ? (out[h - lag] as number) : this.#ring.back(lag - h)
    for (let h = 0; h < horizon; h++) {
      let value = (this.#weights[n] as number) + (d > 0 ? y(h, d) : 0)
      for (let i = 0; i < n; i++) {
        const lag = this.#lags[i] as number
        value += (this.#weights[i] as number) * (d > 0 ? y(h, lag) - y(h, lag + d) : y(h, lag))
      }
      out[h] = held(value)
    }
  }

  encode(writer: ByteWriter): void {
    for (const weight of this.#weights) writer.f64(weight)
    this.#ring.encode(writer)
  }

  decode(reader: ByteReader): void {
    for (let i = 0; i < this.#weights.length; i++) this.#weights[i] = reader.f64()
    this.#ring.decode(reader)
  }

  #differenced(filled: Float64Array): Float64Array {
    const d = this.#difference
    if (d === 0) return filled
    return filled.map((value, t) => (t < d ? 0 : value - (filled[t - d] as number)))
  }
}

/** 1, 2, 3 and the shorter seasons with the step after them: what of a deviation from last week lasts. */
function differencedLags(seasons: readonly number[]): number[] {
  const shorter = seasons.slice(0, -1).flatMap((season) => [season, season + 1])
  return ascending([1, 2, 3, ...shorter])
}

/** 1, 2, 3 and multiples of the shortest season up to the longest (at most 7), or twice the only one. */
function plainLags(seasons: readonly number[]): number[] {
  const [shortest, longest] = [seasons[0] as number, seasons.at(-1) as number]
  const reach = seasons.length > 1 ? longest : 2 * longest
  const count = Math.min(MOST_MULTIPLES, Math.floor(reach / shortest))
  const multiples = Array.from({ length: count }, (_, k) => (k + 1) * shortest)
  return ascending([1, 2, 3, ...multiples, reach])
}

const MOST_MULTIPLES = 7
const ascending = (lags: readonly number[]): number[] => [...new Set(lags)].sort((a, b) => a - b)

/** Rows whose own value is a gap are left out; `from`: first value that is usable as an input. */
function ridgeWeights(
  filled: Float64Array,
  values: Float64Array,
  lags: readonly number[],
  from: number,
): Float64Array {
  const n = lags.length + 1
  const gram = new Float64Array(n * n)
  const right = new Float64Array(n)
  const row = new Float64Array(n).fill(1)
  const longest = lags.at(-1) ?? 1
  for (let t = from + longest; t < filled.length; t++) {
    if (Number.isNaN(values[t])) continue
    for (let i = 0; i < lags.length; i++) row[i] = filled[t - (lags[i] as number)] as number
    const y = filled[t] as number
    for (let i = 0; i < n; i++) {
      const x = row[i] as number
      right[i] = (right[i] as number) + x * y
      for (let j = 0; j <= i; j++) gram[i * n + j] = (gram[i * n + j] as number) + x * (row[j] as number)
    }
  }
  for (let i = 0; i < n; i++) gram[i * n + i] = (gram[i * n + i] as number) * (1 + RIDGE) + 1e-9
  return choleskySolve(gram, right, n)
}
