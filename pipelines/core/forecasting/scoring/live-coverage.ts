import { type ByteReader, type ByteWriter, LEVELS } from '#core/math'
import { WidthTracker } from './width-tracker.ts'

/** At most this many issued intervals wait for their outcome, per step that is watched. */
const MOST_WAITING = 12
const LOW = 0
const HIGH = 4
const NOTHING = -1

interface Watch {
  /** Steps ahead. */
  readonly h: number
  /** One interval is kept every so many steps. */
  readonly every: number
  /** Step that each waiting interval is about, and its bounds. */
  readonly targets: Float64Array
  readonly bounds: Float64Array
  readonly tracker: WidthTracker
}

/**
 * Coverage of the intervals of one series as issued, at the first, a middle and the last step ahead, and the
 * correction of their width when it drifts (WidthTracker); steps between take what lies between. O(1) per value.
 */
export class LiveCoverage {
  readonly #watches: readonly Watch[]
  readonly #step = new Float64Array(LEVELS)

  constructor(horizon: number) {
    const steps = [...new Set([1, Math.max(1, Math.ceil(horizon / 3)), horizon])]
    this.#watches = steps.map((h) => {
      const every = Math.max(1, Math.ceil(h / MOST_WAITING))
      const slots = Math.ceil(h / every) + 1
      return {
        h,
        every,
        targets: new Float64Array(slots).fill(NOTHING),
        bounds: new Float64Array(2 * slots),
        tracker: new WidthTracker(),
      }
    })
  }

  /** Share of recent outcomes one step ahead inside q025..q975 as issued. */
  get coverage(): number {
    return (this.#watches[0] as Watch).tracker.coverage
  }

  /** Factor on the width one step ahead: 1 when the model needs no correction. */
  get factor(): number {
    return (this.#watches[0] as Watch).tracker.factor
  }

  get memoryBytes(): number {
    return this.#watches.reduce((sum, w) => sum + w.targets.byteLength + w.bounds.byteLength + 24, 0)
  }

  /** The value of step `index` (steps since the epoch) has come. */
  observe(index: number, value: number): void {
    if (!Number.isFinite(value)) return
    for (const { h, every, targets, bounds, tracker } of this.#watches) {
      const origin = index - h
      const slot = origin % every === 0 ? (origin / every) % targets.length : -1
      if (slot < 0 || targets[slot] !== index) continue
      targets[slot] = NOTHING
      tracker.observe(value >= (bounds[2 * slot] as number) && value <= (bounds[2 * slot + 1] as number))
    }
  }

  /**
   * Remembers the corrected intervals of the forecast made after step `index`, of the watched steps whose turn it is, the furthest first.
   * `quantilesAt` writes the six quantiles of h steps ahead; it is asked for nothing else.
   */
  issue(index: number, least: number, quantilesAt: (h: number, out: Float64Array) => void): void {
    const isCorrecting = this.#isCorrecting
    for (let i = this.#watches.length - 1; i >= 0; i--) {
      const { h, every, targets, bounds, tracker } = this.#watches[i] as Watch
      if (index % every !== 0) continue
      quantilesAt(h, this.#step)
      if (isCorrecting) correct(this.#step, 0, tracker.factor, least)
      const slot = (index / every) % targets.length
      targets[slot] = index + h
      bounds[2 * slot] = this.#step[LOW] as number
      bounds[2 * slot + 1] = this.#step[HIGH] as number
    }
  }

  /** Corrects quantiles in place: every step by the factors of the watched ones around it. */
  apply(quantiles: Float64Array, horizon: number, least: number): void {
    if (!this.#isCorrecting) return
    for (let h = 1; h <= horizon; h++) correct(quantiles, (h - 1) * LEVELS, this.#factorAt(h), least)
  }

  get #isCorrecting(): boolean {
    for (const { tracker } of this.#watches) if (tracker.factor !== 1) return true
    return false
  }

  #factorAt(h: number): number {
    const after = this.#watches.findIndex((watch) => watch.h >= h)
    const high = this.#watches[after] as Watch
    if (high.h === h || after === 0) return high.tracker.factor
    const low = this.#watches[after - 1] as Watch
    const share = Math.log(h / low.h) / Math.log(high.h / low.h)
    return low.tracker.factor ** (1 - share) * high.tracker.factor ** share
  }

  encode(writer: ByteWriter): void {
    for (const { targets, bounds, tracker } of this.#watches) {
      for (const target of targets) writer.f64(target)
      for (const bound of bounds) writer.f64(bound)
      tracker.encode(writer)
    }
  }

  decode(reader: ByteReader): void {
    for (const { targets, bounds, tracker } of this.#watches) {
      for (let i = 0; i < targets.length; i++) targets[i] = reader.f64()
      for (let i = 0; i < bounds.length; i++) bounds[i] = reader.f64()
      tracker.decode(reader)
    }
  }
}

function correct(quantiles: Float64Array, at: number, factor: number, least: number): void {
  const middle = quantiles[at + 2] as number
  for (let i = at; i < at + LEVELS; i++) {
    quantiles[i] = Math.max(least, middle + factor * ((quantiles[i] as number) - middle))
  }
}
