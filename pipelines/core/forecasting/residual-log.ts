import type { ByteReader, ByteWriter } from '#core/math'
import { decodeFloats, encodeFloats } from './model.ts'

/** The common grid of origins: the same for every series of a scope. */
export interface OriginGrid {
  /** Distance of two origins, ms; origins are whole multiples of it. */
  readonly everyMs: number
  /** Origins kept. */
  readonly rows: number
}

/**
 * The origins that joint scenarios issued at `nowMs` draw from: `count` of the grid, evenly spread over those
 * whose errors up to `horizonMs` are all known by then, newest first. A function of time alone, so that every
 * series of a scope, wherever it is computed, names the same ones. At most `grid.rows` of them.
 */
export function originsAt(nowMs: number, horizonMs: number, count: number, grid: OriginGrid): Float64Array {
  const newest = Math.floor((nowMs - horizonMs) / grid.everyMs)
  const held = grid.rows - (Math.floor(nowMs / grid.everyMs) - newest)
  const kept = Math.max(0, Math.min(count, held))
  return Float64Array.from(
    { length: kept },
    (_, k) => (newest - Math.floor((k * held) / kept)) * grid.everyMs,
  )
}

/**
 * Forecast errors of one series by origin: a ring of vectors, one error per step ahead. Errors are in warped
 * units (scale.ts): differences, or log ratios for series that are never negative. Draw k of every series of
 * a scope uses the error of the same origin, so what erred together stays together.
 */
export class ResidualLog {
  readonly #grid: OriginGrid
  readonly #horizon: number
  readonly #origins: Float64Array
  readonly #errors: Float32Array

  /** `horizon`: steps per vector. Memory: rows x (4 horizon + 8) bytes. */
  constructor(grid: OriginGrid, horizon: number) {
    this.#grid = grid
    this.#horizon = horizon
    this.#origins = new Float64Array(grid.rows).fill(NaN)
    this.#errors = new Float32Array(grid.rows * horizon).fill(NaN)
  }

  /** Bytes of state. */
  get memoryBytes(): number {
    return this.#origins.byteLength + this.#errors.byteLength
  }

  /** Keeps the error of the forecast made at `originMs` (on the grid, otherwise ignored) for h steps ahead; an origin older than the ring is ignored. */
  recordError(originMs: number, h: number, error: number): void {
    const row = this.#row(originMs)
    if (row < 0 || h < 1 || h > this.#horizon || !Number.isFinite(error)) return
    const held = this.#origins[row] as number
    if (held > originMs) return
    if (held !== originMs) {
      this.#origins[row] = originMs
      this.#errors.fill(NaN, row * this.#horizon, (row + 1) * this.#horizon)
    }
    this.#errors[row * this.#horizon + h - 1] = error
  }

  /** Keeps the first `n` of these errors, of forecasts made `steps[i]` steps of `stepMs` before step `index`; as `recordError`. */
  recordMany(n: number, index: number, stepMs: number, steps: Int32Array, errors: Float64Array): void {
    const { everyMs } = this.#grid
    for (let i = 0; i < n; i++) {
      const originMs = (index - (steps[i] as number)) * stepMs
      if (originMs % everyMs === 0) this.recordError(originMs, steps[i] as number, errors[i] as number)
    }
  }

  /** Error of an origin at h steps ahead; NaN if it is not known. */
  errorOf(originMs: number, h: number): number {
    const row = this.#row(originMs)
    if (row < 0 || this.#origins[row] !== originMs || h < 1 || h > this.#horizon) return NaN
    return this.#errors[row * this.#horizon + h - 1] as number
  }

  /**
   * One error per wanted origin to `out`, for h steps ahead. An origin that this series lacks (it is younger, or had
   * a gap) borrows the nearest wanted one that it has; with none, `fallback(k)` must give one. Returns how many were its own.
   */
  draws(originsWanted: Float64Array, h: number, out: Float64Array, fallback: (k: number) => number): number {
    const n = originsWanted.length
    let own = 0
    for (let k = 0; k < n; k++) {
      out[k] = this.errorOf(originsWanted[k] as number, h)
      if (!Number.isNaN(out[k])) own++
    }
    if (own === n) return own
    for (let k = 0; k < n; k++) {
      if (Number.isNaN(this.errorOf(originsWanted[k] as number, h))) {
        const near = own > 0 ? this.#nearest(originsWanted, h, k) : NaN
        out[k] = Number.isNaN(near) ? fallback(k) : near
      }
    }
    return own
  }

  /** Forgets all errors. */
  clear(): void {
    this.#origins.fill(NaN)
  }

  encode(writer: ByteWriter): void {
    for (const origin of this.#origins) writer.f64(origin)
    encodeFloats(writer, this.#errors)
  }

  decode(reader: ByteReader): void {
    for (let row = 0; row < this.#origins.length; row++) this.#origins[row] = reader.f64()
    decodeFloats(reader, this.#errors)
  }

  #nearest(originsWanted: Float64Array, h: number, k: number): number {
    for (let away = 1; away < originsWanted.length; away++) {
      for (const other of [k - away, k + away]) {
        const error = this.errorOf(originsWanted[other] ?? NaN, h)
        if (!Number.isNaN(error)) return error
      }
    }
    return NaN
  }

  #row(originMs: number): number {
    const index = originMs / this.#grid.everyMs
    return Number.isInteger(index) ? ((index % this.#grid.rows) + this.#grid.rows) % this.#grid.rows : -1
  }
}
