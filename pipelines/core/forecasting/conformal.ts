import type { ByteReader, ByteWriter } from '#core/math'
import { LEVELS, QUANTILE_LEVELS, quantileType7 } from '#core/math'
import { decodeFloats, encodeFloats } from './model.ts'
import { type BacktestErrors, smoothSpread } from './smooth-spread.ts'

/** Share of a typical error by which one error moves a quantile. */
const RATE = 0.05
/** Memory of the typical error and of the coverage, in errors. */
const MEMORY = 200
/** Share of the median error that moves the point forecast, with many facts; with this many it is half of that: a median of few errors is itself uncertain. */
const MEDIAN_SHARE = 0.25
const MEDIAN_FACTS = 5
/** Forecasts from neighbouring origins err together: this many count as one, */
const ORIGINS_PER_FACT = 3
/** and no more than half the square of how many times a reach fits into the backtest: a long reach sees few independent stretches. */
const FACTS_OF_SQUARE = 0.5
/** With as many steps of backtest a level that is not in it may be as far as the prior says; with fewer no further than a walk of the steps seen. */
const LONG_BACKTEST = 200
/** Mean absolute over standard deviation of a normal error. */
const TYPICAL = 0.8
/** Facts that a spread from few errors is thought to have at least: its tails are those of as many degrees of freedom. */
const LEAST_FACTS = 2
const LOW = 0
const HIGH = 4

/**
 * Prediction intervals of one series from its own forecast errors, per horizon step and level, in warped
 * units (scale.ts). `calibrate` takes the quantiles of rolling-origin errors, pooled over the steps
 * h-1, h and h+1 (split conformal: Lei et al. 2018; no error may rest on a fitted point). `observe` then
 * moves each quantile by every error that comes true (quantile tracking: Angelopoulos et al. 2023), which
 * keeps the long-run coverage right whatever the series does. State: 7 floats a step.
 */
export class Conformal {
  readonly horizon: number
  readonly #offsets: Float32Array
  /** Typical absolute error per step. */
  readonly #typical: Float32Array
  #coverage = 0.95
  #observed = 0

  constructor(horizon: number) {
    this.horizon = horizon
    this.#offsets = new Float32Array(horizon * LEVELS)
    this.#typical = new Float32Array(horizon)
  }

  /** Share of recent errors inside q025..q975: 0.95 when honest. */
  get coverage(): number {
    return this.#coverage
  }

  /** Errors observed since the start. */
  get observed(): number {
    return this.#observed
  }

  /** Bytes of state. */
  get memoryBytes(): number {
    return this.#offsets.byteLength + this.#typical.byteLength + 16
  }

  /** Offset of a level at step h (1..horizon), as it stands. */
  offset(h: number, level: number): number {
    return this.#offsets[(h - 1) * LEVELS + level] as number
  }

  /**
   * Starts from errors: `origins` rows of `horizon`, NaN where unknown, times `unit`. Steps without errors
   * take the last known step, growing with the square root of the distance (a random walk). `prior` (> 0): the
   * standard deviation when nothing is known; it fades as errors come in, so that few errors
   * give an honestly wide interval. `step`: that of one step as far as the history shows it (`stepSpread`). `keep` (0..1) is the share of the present
   * offsets that stays: what observation has taught outlives a refit. `stride`: steps between origins.
   */
  calibrate(
    errors: Float32Array,
    origins: number,
    unit: number,
    prior: number,
    step: number,
    keep: number,
    stride = 1,
  ): void {
    const pool = new Float64Array(origins * 3)
    const isYoung = 1 - Math.min(1, (origins * stride) / LONG_BACKTEST)
    let known = 0
    for (let h = 1; h <= this.horizon; h++) {
      const n = this.#pool(errors, origins, h, unit, pool)
      const walk = Math.min(prior, step * Math.sqrt(h))
      const unknown = walk + (1 - isYoung) * (prior - walk)
      if (n > 0) {
        const facts = Math.min(origins / ORIGINS_PER_FACT, FACTS_OF_SQUARE * ((origins * stride) / h) ** 2)
        this.#setFrom(pool.subarray(0, n).sort(), h, facts, unknown, keep)
        known = h
      } else if (known > 0) this.#grow(known, h, unknown)
      else this.#setPrior(h, step)
    }
  }

  /**
   * Starts from few errors: normal quantiles of a spread that all steps say together (`smoothSpread`), wider as there are fewer facts. What `calibrate` does
   * is better from some hundred errors on, and worse below: quantiles of a handful are its largest. False if the
   * backtest is too long for that, or empty: nothing is done then. Arguments as there.
   */
  calibrateFew(backtest: BacktestErrors, unit: number, step: number): boolean {
    const { errors, origins, horizon, stride } = backtest
    if (origins === 0 || origins * stride >= LONG_BACKTEST) return false
    const factsOf = (h: number): number =>
      Math.min(origins / ORIGINS_PER_FACT, FACTS_OF_SQUARE * ((origins * stride) / h) ** 2)
    const spread = smoothSpread(backtest, factsOf)
    const pool = new Float64Array(origins * 3)
    for (let h = 1; h <= horizon; h++) {
      const facts = factsOf(h)
      const n = this.#pool(errors, origins, h, unit, pool)
      const middle = n > 0 ? quantileType7(pool.subarray(0, n).sort(), 0.5) : 0
      const own = unit * (spread[h - 1] as number)
      const width = Math.hypot(own, step / (1 + origins / ORIGINS_PER_FACT))
      this.#typical[h - 1] = TYPICAL * width
      for (let level = 0; level < LEVELS; level++) {
        const z = NORMAL[level] as number
        const heavy = z * (1 + (z ** 2 + 1) / (4 * (LEAST_FACTS + origins / ORIGINS_PER_FACT)))
        this.#offsets[(h - 1) * LEVELS + level] =
          z === 0 ? ((MEDIAN_SHARE * facts) / (facts + MEDIAN_FACTS)) * middle : heavy * width
      }
    }
    return true
  }

  /** An error (actual - median forecast, warped) of a forecast made h steps before has come true. */
  observe(h: number, error: number): void {
    this.observeMany(1, Int32Array.of(h), Float64Array.of(error))
  }

  /** The first `n` of these errors have come true, in this order; those that are not finite teach nothing. */
  observeMany(n: number, steps: Int32Array, errors: Float64Array): void {
    const offsets = this.#offsets
    for (let i = 0; i < n; i++) {
      const h = steps[i] as number
      const error = errors[i] as number
      if (!Number.isFinite(error)) continue
      const at = (h - 1) * LEVELS
      const inside = error >= (offsets[at + LOW] as number) && error <= (offsets[at + HIGH] as number)
      this.#coverage += ((inside ? 1 : 0) - this.#coverage) / Math.min(MEMORY, this.#observed + 20)
      this.#observed++
      move(offsets, this.#typical, h, error, RATE)
      if (h > 1) move(offsets, this.#typical, h - 1, error, RATE / 4)
      if (h < this.horizon) move(offsets, this.#typical, h + 1, error, RATE / 4)
    }
  }

  /** Quantiles of step h around the median forecast `centre` (warped) to `out[at..at+6)`, ascending. */
  quantiles(h: number, centre: number, out: Float64Array, at: number): void {
    const start = (h - 1) * LEVELS
    let before = -Infinity
    for (let level = 0; level < LEVELS; level++) {
      const value = Math.max(before, centre + (this.#offsets[start + level] as number))
      out[at + level] = value
      before = value
    }
  }

  encode(writer: ByteWriter): void {
    writer.f64(this.#coverage)
    writer.varint(this.#observed)
    encodeFloats(writer, this.#offsets)
    encodeFloats(writer, this.#typical)
  }

  decode(reader: ByteReader): void {
    this.#coverage = reader.f64()
    this.#observed = reader.varint()
    decodeFloats(reader, this.#offsets)
    decodeFloats(reader, this.#typical)
  }

  #pool(errors: Float32Array, origins: number, h: number, unit: number, pool: Float64Array): number {
    let n = 0
    for (let row = 0; row < origins; row++) {
      for (let step = Math.max(1, h - 1); step <= Math.min(this.horizon, h + 1); step++) {
        const error = errors[row * this.horizon + step - 1] as number
        if (!Number.isNaN(error)) pool[n++] = error * unit
      }
    }
    return n
  }

  #setFrom(sorted: Float64Array, h: number, facts: number, prior: number, keep: number): void {
    let sum = 0
    for (const error of sorted) sum += Math.abs(error)
    this.#typical[h - 1] = sum / sorted.length
    for (let level = 0; level < LEVELS; level++) {
      const p = QUANTILE_LEVELS[level] as number
      const learnt =
        p === 0.5
          ? ((MEDIAN_SHARE * facts) / (facts + MEDIAN_FACTS)) * quantileType7(sorted, p)
          : cautiousQuantile(sorted, p, Math.max(1, facts))
      const value = learnt + (2 * prior * (NORMAL[level] as number)) / (1 + facts) ** 2
      const at = (h - 1) * LEVELS + level
      this.#offsets[at] = keep * (this.#offsets[at] as number) + (1 - keep) * value
    }
  }

  #grow(from: number, h: number, prior: number): void {
    const factor = Math.sqrt(h / from)
    this.#typical[h - 1] = factor * (this.#typical[from - 1] as number)
    for (let level = 0; level < LEVELS; level++) {
      const grown = factor * this.offset(from, level)
      const unknown = prior * (NORMAL[level] as number)
      this.#offsets[(h - 1) * LEVELS + level] =
        unknown < 0 ? Math.min(grown, unknown) : unknown > 0 ? Math.max(grown, unknown) : grown
    }
  }

  #setPrior(h: number, step: number): void {
    const width = step * Math.sqrt(h)
    this.#typical[h - 1] = width
    for (let level = 0; level < LEVELS; level++) {
      this.#offsets[(h - 1) * LEVELS + level] = width * (NORMAL[level] as number)
    }
  }
}

const PROBABILITIES = Float64Array.from(QUANTILE_LEVELS)

/** One step of quantile tracking at step h. */
function move(offsets: Float32Array, typicals: Float32Array, h: number, error: number, rate: number): void {
  const typical = typicals[h - 1] as number
  typicals[h - 1] = typical + (Math.abs(error) - typical) / MEMORY
  const step = rate * (typicals[h - 1] as number)
  const first = (h - 1) * LEVELS
  for (let level = 0; level < LEVELS; level++) {
    const p = PROBABILITIES[level] as number
    const offset = offsets[first + level] as number
    offsets[first + level] = offset + step * (error > offset ? p : p - 1)
  }
}

/** Adds an independent error of standard deviation `spread` (warped) to six quantiles around `centre`; the median stays. */
export function widen(quantiles: Float64Array, at: number, centre: number, spread: number): void {
  if (spread === 0) return
  for (let level = 0; level < LEVELS; level++) {
    const extra = spread * (NORMAL[level] as number)
    const own = (quantiles[at + level] as number) - centre
    const both = Math.sign(extra) * Math.hypot(own, extra)
    if (extra !== 0) quantiles[at + level] = centre + (own * extra >= 0 ? both : own + extra)
  }
}

/** Standard normal quantiles of the levels. */
const NORMAL = [-1.96, -1.2816, 0, 1.2816, 1.96, 2.3263]

/**
 * Quantile p of errors that hold only `facts` independent ones: the level is moved outwards by its distance
 * from the middle over `facts` (the conformal correction (n + 1) / n), at most halfway to 0 or 1.
 */
function cautiousQuantile(sorted: Float64Array, p: number, facts: number): number {
  const side = Math.max(p, 1 - p)
  const outer = Math.min(side + (side - 0.5) / facts, 1 - (1 - side) / 2)
  return quantileType7(sorted, p < 0.5 ? 1 - outer : outer)
}
