import type { ByteReader, ByteWriter } from '#core/math'
import { ForestallError } from '#core/ports'
import { TailHistogram } from './tail-histogram.ts'

/** What is watched and how long an alarm silences the next. */
export interface AnomalyOptions {
  /** Names of the features, in the order of the values given to `observe`. */
  readonly features: readonly string[]
  /** Score at which the refractory time begins; default 0.998. */
  readonly alarm?: number
  /** Observations after an alarm during which scores count half; default 100. One incident is one alarm. */
  readonly refractory?: number
  /** Observations after which an earlier surprise counts e times less; default 4,000. */
  readonly memory?: number
}

/** The levels that are compared: a change of level shows when the fast one leaves the slow one. */
const FAST = 1 / 30
const SLOW = 1 / 300
const DAMPED = 0.5
const LARGEST = 1e150

interface Watch {
  readonly name: string
  last: number
  fast: number
  slow: number
  readonly steps: TailHistogram
  readonly shifts: TailHistogram
}

/**
 * Online anomaly score of one series of feature vectors: 1 - the conformal p-value of two surprises per feature, the size
 * of the step since the last value and the distance of its 30-point from its 300-point mean, each ranked among
 * all earlier ones (TailHistogram). The smallest p-value counts, times the number of features. About 1 microsecond and
 * 900 bytes per feature. Scores stay below about 1 - 1 / n: a detector that has seen little cannot be sure.
 */
export class AnomalyDetector {
  readonly #watches: readonly Watch[]
  readonly #alarm: number
  readonly #refractory: number
  #quiet = 0
  #score = 0
  #direction: -1 | 0 | 1 = 0
  #feature = ''

  /** Throws CONFIG_INVALID on options that cannot work. */
  constructor(options: AnomalyOptions) {
    const { features, alarm = 0.998, refractory = 100, memory = 4000 } = options
    const isSound = features.length > 0 && alarm > 0 && alarm <= 1 && refractory >= 0 && memory >= 20
    if (!isSound) {
      throw new ForestallError(
        'CONFIG_INVALID',
        'anomaly: features, alarm (0..1], refractory >= 0, memory >= 20',
      )
    }
    this.#alarm = alarm
    this.#refractory = refractory
    this.#watches = features.map((name) => ({
      name,
      last: NaN,
      fast: NaN,
      slow: NaN,
      steps: new TailHistogram(memory),
      shifts: new TailHistogram(memory),
    }))
  }

  /** 0 (usual) .. 1 (never seen before) of the last observation. */
  get score(): number {
    return this.#score
  }

  /** 1 above, -1 below what came before; 0 if the score is 0. */
  get direction(): -1 | 0 | 1 {
    return this.#direction
  }

  /** Which feature made the score; '' if the score is 0. */
  get feature(): string {
    return this.#feature
  }

  /** One value per feature; what is not finite is skipped for its feature. */
  observe(values: ArrayLike<number>): void {
    let least = 1
    let sign = 0
    let feature = ''
    this.#watches.forEach((watch, i) => {
      const value = values[i] ?? NaN
      if (!Number.isFinite(value)) return
      const { p, towards } = surprise(watch, Math.max(-LARGEST, Math.min(LARGEST, value)))
      if (p >= least) return
      least = p
      sign = towards
      feature = watch.name
    })
    const raw = Math.max(0, 1 - least * this.#watches.length)
    const isQuiet = this.#quiet > 0
    this.#score = isQuiet ? raw * DAMPED : raw
    this.#quiet = isQuiet ? this.#quiet - 1 : raw >= this.#alarm ? this.#refractory : 0
    this.#direction = this.#score === 0 ? 0 : sign > 0 ? 1 : -1
    this.#feature = this.#score === 0 ? '' : feature
  }

  encode(writer: ByteWriter): void {
    writer.varint(this.#quiet)
    for (const watch of this.#watches) {
      for (const value of [watch.last, watch.fast, watch.slow]) writer.f64(value)
      watch.steps.encode(writer)
      watch.shifts.encode(writer)
    }
  }

  /** Takes over what `encode` of a detector with the same options wrote; the score is 0 until the next observation. */
  decode(reader: ByteReader): void {
    this.#quiet = reader.varint()
    this.#score = 0
    this.#direction = 0
    this.#feature = ''
    for (const watch of this.#watches) {
      watch.last = reader.f64()
      watch.fast = reader.f64()
      watch.slow = reader.f64()
      watch.steps.decode(reader)
      watch.shifts.decode(reader)
    }
  }
}

/** The smaller p-value of both surprises, and which way it points; then both are learnt. */
function surprise(watch: Watch, value: number): { p: number; towards: number } {
  if (Number.isNaN(watch.last)) {
    watch.last = value
    watch.fast = value
    watch.slow = value
    return { p: 1, towards: 0 }
  }
  const step = value - watch.last
  watch.fast += FAST * (value - watch.fast)
  const shift = watch.fast - watch.slow
  watch.slow += SLOW * (value - watch.slow)
  watch.last = value
  const ofStep = watch.steps.tail(Math.abs(step))
  const ofShift = watch.shifts.tail(Math.abs(shift))
  watch.steps.add(Math.abs(step))
  watch.shifts.add(Math.abs(shift))
  return ofStep <= ofShift ? { p: ofStep, towards: step } : { p: ofShift, towards: shift }
}
