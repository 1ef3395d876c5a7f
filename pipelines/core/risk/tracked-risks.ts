import type { ByteReader, ByteWriter } from '#core/math'
import type { Side } from './crossing.ts'
import { OnlineCalibration, type OnlineCalibrationOptions } from './online-calibration.ts'

/** A risk as it was said, before calibration. */
export interface RawRisk {
  readonly issuedAtMs: number
  /** It is about the values after `issuedAtMs`, up to this much later. */
  readonly horizonMs: number
  readonly raw: number
  readonly limit: number
  readonly side: Side
}

/** What is waited for: one risk per series at a time, so that overlapping horizons do not count one crossing twice. */
interface Pending {
  untilMs: number
  raw: number
  limit: number
  above: boolean
  crossed: boolean
  /** Worst value so far: the largest if the bad side is above, else the smallest; NaN before the first. */
  worst: number
  /** Share of crossings among the outcomes before, and how near the limit the worst value of the last one was. */
  lately: number
  near: number
}

/** What is known of a series' outcomes. */
interface Past {
  share: number
  /** Worst value of the last horizon; NaN: none. */
  worst: number
}

/** An outcome counts for 1/12 of the share: half a day of hours. Before the first, nothing is known but that limits are rarely crossed. */
const SHARE_OF_ONE = 1 / 12
const SHARE_AT_FIRST = 0.1
const NO_PAST: Past = { share: SHARE_AT_FIRST, worst: Number.NaN }
/** Share of the limit that is added to both before the logarithm of their ratio: zeros are then as far away as a twentieth. */
const OFFSET = 0.05
/** Further from the limit than this (a factor of 1.6) all values are equally far: chosen on other periods and series than the scored ones. */
const MOST_NEAR = 0.5

/**
 * Calibrates the risks of a scope by what became of them. Values are observed as they come; a risk is calibrated with
 * what had been observed by then, so that replay and live say the same, and nothing looks ahead. O(1) per call.
 */
export class TrackedRisks {
  readonly calibration: OnlineCalibration
  readonly #pending = new Map<string, Pending>()
  readonly #past = new Map<string, Past>()

  constructor(options: OnlineCalibrationOptions = {}) {
    this.calibration = new OnlineCalibration(options)
  }

  /** A value of a series. Times of a series must not fall; one that is not finite crosses nothing. */
  observe(key: string, timeMs: number, value: number): void {
    const pending = this.#pending.get(key)
    if (pending === undefined) return
    if (timeMs <= pending.untilMs) {
      const { above, limit, worst } = pending
      pending.crossed ||= above ? value > limit : value < limit
      if (Number.isFinite(value) && !(above ? value <= worst : value >= worst)) pending.worst = value
    }
    if (timeMs < pending.untilMs) return
    this.calibration.learn(pending.raw, pending.crossed, pending.lately, pending.near)
    this.#pending.delete(key)
    const { share, worst } = this.#past.get(key) ?? NO_PAST
    this.#past.set(key, {
      share: share + SHARE_OF_ONE * (Number(pending.crossed) - share),
      worst: Number.isNaN(pending.worst) ? worst : pending.worst,
    })
  }

  /** The calibrated probability of a risk; its outcome will be learnt from, unless that of an earlier one is still open. */
  issue(key: string, risk: RawRisk): number {
    const { issuedAtMs, horizonMs, raw, limit, side } = risk
    const { share: lately, worst } = this.#past.get(key) ?? NO_PAST
    const near = nearness(worst, limit, side)
    if (Number.isFinite(raw) && Number.isFinite(limit) && !this.#pending.has(key)) {
      const untilMs = issuedAtMs + horizonMs
      const above = side === 'above'
      this.#pending.set(key, { untilMs, raw, limit, above, crossed: false, worst: Number.NaN, lately, near })
    }
    return this.calibration.calibrate(raw, lately, near)
  }

  encode(writer: ByteWriter): void {
    this.calibration.encode(writer)
    writer.varint(this.#pending.size)
    for (const [key, { untilMs, raw, limit, above, crossed, worst, lately, near }] of this.#pending) {
      writer.text(key)
      for (const value of [lately, near, worst, untilMs, raw, limit]) writer.f64(value)
      writer.u8(Number(above) + 2 * Number(crossed))
    }
    writer.varint(this.#past.size)
    for (const [key, { share, worst }] of this.#past) {
      writer.text(key)
      writer.f64(share)
      writer.f64(worst)
    }
  }

  /** Takes over what `encode` wrote. */
  decode(reader: ByteReader): void {
    this.calibration.decode(reader)
    this.#pending.clear()
    for (let left = reader.varint(); left > 0; left--) {
      const key = reader.text()
      const [lately, near, worst] = [reader.f64(), reader.f64(), reader.f64()]
      const [untilMs, raw, limit] = [reader.f64(), reader.f64(), reader.f64()]
      const flags = reader.u8()
      const [above, crossed] = [(flags & 1) === 1, flags >= 2]
      this.#pending.set(key, { untilMs, raw, limit, above, crossed, worst, lately, near })
    }
    this.#past.clear()
    for (let left = reader.varint(); left > 0; left--) {
      this.#past.set(reader.text(), { share: reader.f64(), worst: reader.f64() })
    }
  }
}

/** Logarithm of a value over its limit, towards the bad side, within `MOST_NEAR`; 0 where nothing is known or the limit is not positive. */
function nearness(value: number, limit: number, side: Side): number {
  if (!(limit > 0) || Number.isNaN(value)) return 0
  const offset = OFFSET * limit
  const ratio = Math.log((Math.max(0, value) + offset) / (limit + offset))
  return Math.max(-MOST_NEAR, Math.min(MOST_NEAR, side === 'above' ? ratio : -ratio))
}
