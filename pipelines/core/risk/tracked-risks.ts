import type { ByteReader, ByteWriter } from '#core/math'
import type { Side } from './crossing.ts'
import { DirectRisk } from './direct-risk.ts'
import { OnlineCalibration, type OnlineCalibrationOptions } from './online-calibration.ts'
import { PAST_TERMS, PastHorizons } from './past-horizons.ts'

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
  readonly untilMs: number
  readonly horizonMs: number
  readonly raw: number
  readonly limit: number
  readonly above: boolean
  crossed: boolean
  /** Worst value so far: the largest if the bad side is above, else the smallest; NaN before the first. */
  worst: number
  /** What was known of the horizons before. */
  readonly past: Float64Array
  /** The direct estimate when it was said. */
  readonly direct: number
}

/** One series with risks. */
interface Tracked {
  readonly past: PastHorizons
  pending: Pending | undefined
}

/** Further below the limit than this (a factor of 1.6) all values are equally far: chosen on other periods and series than the scored ones. */
const FURTHEST = -0.5

/**
 * Calibrates the risks of a scope by what became of them, together with a direct estimate from what its series did lately.
 * Values are observed as they come; a risk is calibrated with what had been observed by then, so that replay and live say the same,
 * and nothing looks ahead. O(1) per call; a series is held from its first risk on.
 */
export class TrackedRisks {
  readonly calibration: OnlineCalibration
  readonly #direct = new DirectRisk()
  readonly #tracked = new Map<string, Tracked>()
  readonly #terms = new Float64Array(PAST_TERMS)

  constructor(options: OnlineCalibrationOptions = {}) {
    this.calibration = new OnlineCalibration(options)
  }

  /** A value of a series. Times of a series must not fall; one that is not finite crosses nothing. */
  observe(key: string, timeMs: number, value: number): void {
    const tracked = this.#tracked.get(key)
    if (tracked === undefined) return
    const { past, pending } = tracked
    const isLate = pending !== undefined && timeMs > pending.untilMs
    if (isLate) this.#end(tracked, pending)
    past.observe(value)
    if (pending === undefined || isLate) return
    const { above, limit, worst, untilMs } = pending
    pending.crossed ||= above ? value > limit : value < limit
    if (Number.isFinite(value) && !(above ? value <= worst : value >= worst)) pending.worst = value
    if (timeMs === untilMs) this.#end(tracked, pending)
  }

  /** The calibrated probability of a risk; its outcome will be learnt from, unless that of an earlier one is still open. */
  issue(key: string, risk: RawRisk): number {
    const { issuedAtMs, horizonMs, raw, limit, side } = risk
    if (!Number.isFinite(raw) || !Number.isFinite(limit)) return raw
    let tracked = this.#tracked.get(key)
    if (tracked === undefined) {
      tracked = { past: new PastHorizons(), pending: undefined }
      this.#tracked.set(key, tracked)
    }
    const terms = this.#terms
    tracked.past.terms(risk, raw, terms)
    const direct = this.#direct.probability(terms)
    tracked.pending ??= {
      untilMs: issuedAtMs + horizonMs,
      horizonMs,
      raw,
      limit,
      above: side === 'above',
      crossed: false,
      worst: Number.NaN,
      past: terms.slice(),
      direct,
    }
    return this.calibration.calibrate(raw, nearOf(terms), direct)
  }

  #end(tracked: Tracked, { raw, crossed, past, direct, worst, untilMs, horizonMs }: Pending): void {
    // With the direct estimate as it was: it has learnt since, from limits of the same series and hour among others.
    this.calibration.learn(raw, crossed, nearOf(past), direct)
    this.#direct.learn(past, crossed)
    tracked.past.end(untilMs, horizonMs, worst)
    tracked.pending = undefined
  }

  encode(writer: ByteWriter): void {
    this.calibration.encode(writer)
    this.#direct.encode(writer)
    writer.varint(this.#tracked.size)
    for (const [key, { past, pending }] of this.#tracked) {
      writer.text(key)
      past.encode(writer)
      writer.u8(pending === undefined ? 0 : 1 + Number(pending.above) + 2 * Number(pending.crossed))
      if (pending !== undefined) encodePending(writer, pending)
    }
  }

  /** Takes over what `encode` wrote. */
  decode(reader: ByteReader): void {
    this.calibration.decode(reader)
    this.#direct.decode(reader)
    this.#tracked.clear()
    for (let left = reader.varint(); left > 0; left--) {
      const key = reader.text()
      const past = new PastHorizons()
      past.decode(reader)
      const flags = reader.u8()
      this.#tracked.set(key, { past, pending: flags === 0 ? undefined : decodePending(reader, flags - 1) })
    }
  }
}

/** How near the limit the worst value of the horizon before was: its logarithm over the limit, at least -0.5. */
const nearOf = (past: Float64Array): number => Math.max(FURTHEST, (past[1] as number) / 2)

function encodePending(writer: ByteWriter, { past, ...pending }: Pending): void {
  const { untilMs, horizonMs, raw, limit, worst, direct } = pending
  for (const value of [untilMs, horizonMs, raw, limit, worst, direct]) writer.f64(value)
  for (const value of past) writer.f64(value)
}

function decodePending(reader: ByteReader, flags: number): Pending {
  const [untilMs, horizonMs] = [reader.f64(), reader.f64()]
  const [raw, limit, worst, direct] = [reader.f64(), reader.f64(), reader.f64(), reader.f64()]
  const past = Float64Array.from({ length: PAST_TERMS }, () => reader.f64())
  const [above, crossed] = [(flags & 1) === 1, flags >= 2]
  return { untilMs, horizonMs, raw, limit, above, crossed, worst, past, direct }
}
