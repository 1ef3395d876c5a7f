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
  readonly #horizon: number
  readonly #origins: Float64Array
  readonly #values: Float32Array

  constructor(horizon: number) {
    this.every = Math.max(1, Math.ceil(horizon / MOST_PENDING))
    this.#horizon = horizon
    const rows = Math.ceil(horizon / this.every) + 1
    this.#origins = new Float64Array(rows).fill(NaN)
    this.#values = new Float32Array(rows * horizon)
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

  /** Calls `visit` with (origin, h, forecast) for every waiting forecast of step `index`. */
  due(index: number, visit: (origin: number, h: number, warped: number) => void): void {
    for (let row = 0; row < this.#origins.length; row++) {
      const h = index - (this.#origins[row] as number)
      if (h >= 1 && h <= this.#horizon) {
        visit(index - h, h, this.#values[row * this.#horizon + h - 1] as number)
      }
    }
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
