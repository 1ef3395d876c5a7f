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
  /** Share of crossings among the outcomes before. */
  lately: number
}

/** An outcome counts for 1/12 of the share: half a day of hours. Before the first, nothing is known but that limits are rarely crossed. */
const SHARE_OF_ONE = 1 / 12
const SHARE_AT_FIRST = 0.1

/**
 * Calibrates the risks of a scope by what became of them. Values are observed as they come; a risk is calibrated with
 * what had been observed by then, so that replay and live say the same, and nothing looks ahead. O(1) per call.
 */
export class TrackedRisks {
  readonly calibration: OnlineCalibration
  readonly #pending = new Map<string, Pending>()
  readonly #lately = new Map<string, number>()

  constructor(options: OnlineCalibrationOptions = {}) {
    this.calibration = new OnlineCalibration(options)
  }

  /** A value of a series. Times of a series must not fall; one that is not finite crosses nothing. */
  observe(key: string, timeMs: number, value: number): void {
    const pending = this.#pending.get(key)
    if (pending === undefined) return
    if (timeMs <= pending.untilMs) {
      pending.crossed ||= pending.above ? value > pending.limit : value < pending.limit
    }
    if (timeMs < pending.untilMs) return
    this.calibration.learn(pending.raw, pending.crossed, pending.lately)
    this.#pending.delete(key)
    const before = this.#lately.get(key) ?? SHARE_AT_FIRST
    this.#lately.set(key, before + SHARE_OF_ONE * (Number(pending.crossed) - before))
  }

  /** The calibrated probability of a risk; its outcome will be learnt from, unless that of an earlier one is still open. */
  issue(key: string, risk: RawRisk): number {
    const { issuedAtMs, horizonMs, raw, limit, side } = risk
    const lately = this.#lately.get(key) ?? SHARE_AT_FIRST
    if (Number.isFinite(raw) && Number.isFinite(limit) && !this.#pending.has(key)) {
      const untilMs = issuedAtMs + horizonMs
      this.#pending.set(key, { untilMs, raw, limit, above: side === 'above', crossed: false, lately })
    }
    return this.calibration.calibrate(raw, lately)
  }

  encode(writer: ByteWriter): void {
    this.calibration.encode(writer)
    writer.varint(this.#pending.size)
    for (const [key, { untilMs, raw, limit, above, crossed, lately }] of this.#pending) {
      writer.text(key)
      writer.f64(lately)
      writer.f64(untilMs)
      writer.f64(raw)
      writer.f64(limit)
      writer.u8(Number(above) + 2 * Number(crossed))
    }
    writer.varint(this.#lately.size)
    for (const [key, share] of this.#lately) {
      writer.text(key)
      writer.f64(share)
    }
  }

  /** Takes over what `encode` wrote. */
  decode(reader: ByteReader): void {
    this.calibration.decode(reader)
    this.#pending.clear()
    for (let left = reader.varint(); left > 0; left--) {
      const key = reader.text()
      const [lately, untilMs, raw, limit] = [reader.f64(), reader.f64(), reader.f64(), reader.f64()]
      const flags = reader.u8()
      this.#pending.set(key, { untilMs, raw, limit, above: (flags & 1) === 1, crossed: flags >= 2, lately })
    }
    this.#lately.clear()
    for (let left = reader.varint(); left > 0; left--) this.#lately.set(reader.text(), reader.f64())
  }
}
