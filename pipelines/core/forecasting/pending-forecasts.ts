import type { ByteReader, ByteWriter } from '#core/math'
import { decodeFloats, encodeFloats } from './model.ts'

/** At most this many forecasts wait for their outcome, whatever the horizon. */
const MOST_PENDING = 12

/**
 * Forecasts (warped medians) that wait for what really happens: one origin every `every` steps, so that an
 * arriving value is compared with at most 13 of them.
 */
export class PendingForecasts {
  /** Distance of scored origins, steps. */
  readonly every: number
  /** Filled by `due`. */
  readonly dueSteps: Int32Array
  readonly dueErrors: Float64Array
  readonly #horizon: number
  readonly #origins: Float64Array
  readonly #values: Float32Array

  constructor(horizon: number) {
    this.every = Math.max(1, Math.ceil(horizon / MOST_PENDING))
    this.#horizon = horizon
    const rows = Math.ceil(horizon / this.every) + 1
    this.#origins = new Float64Array(rows).fill(NaN)
    this.#values = new Float32Array(rows * horizon)
    this.dueSteps = new Int32Array(rows)
    this.dueErrors = new Float64Array(rows)
  }

  /** Bytes of state. */
  get memoryBytes(): number {
    return this.#origins.byteLength + this.#values.byteLength
  }

  /** Keeps the warped medians of the forecast made at step `index`, if that is an origin to score. */
  add(index: number, warped: Float64Array): void {
    if (index % this.every !== 0) return
    const row = (index / this.every) % this.#origins.length
    this.#origins[row] = index
    for (let h = 0; h < this.#horizon; h++) this.#values[row * this.#horizon + h] = warped[h] as number
  }

  /**
   * What came at step `index` (warped) against every forecast that waits for it: how many steps before each was made to `dueSteps`, the error
   * to `dueErrors`. Returns how many. Columns, because this is asked for at every value.
   */
  due(index: number, warped: number): number {
    const horizon = this.#horizon
    let n = 0
    for (let row = 0; row < this.#origins.length; row++) {
      const h = index - (this.#origins[row] as number)
      if (!(h >= 1 && h <= horizon)) continue
      this.dueSteps[n] = h
      this.dueErrors[n++] = warped - (this.#values[row * horizon + h - 1] as number)
    }
    return n
  }

  /** Forgets all. */
  clear(): void {
    this.#origins.fill(NaN)
  }

  encode(writer: ByteWriter): void {
    for (const origin of this.#origins) writer.f64(origin)
    encodeFloats(writer, this.#values)
  }

  decode(reader: ByteReader): void {
    for (let row = 0; row < this.#origins.length; row++) this.#origins[row] = reader.f64()
    decodeFloats(reader, this.#values)
  }
}
