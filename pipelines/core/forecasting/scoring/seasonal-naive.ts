import type { ByteReader, ByteWriter } from '#core/math'

/** Windows that the scale remembers at most: as many as decide about a model. */
const MEMORY = 2000
const FIRST_CAPACITY = 32

/**
 * The yardstick of every score: the value one season before the target (the last value while less than a season is known), and the
 * mean absolute error it would have made so far, by which MASE and MSIS divide. O(1) per value; grows to 4 bytes per step of the season.
 */
export class SeasonalNaive {
  readonly #season: number
  #ring: Float32Array
  #at = 0
  #length = 0
  #last = Number.NaN
  #error = 0
  #errors = 0
  /** Errors of the last value, used while there is no season to compare with. */
  #step = 0
  #steps = 0

  /** `season` in steps; 1 or less: the last value. */
  constructor(season: number) {
    this.#season = Math.max(1, season)
    this.#ring = new Float32Array(Math.min(this.#season, FIRST_CAPACITY))
  }

  /** Mean absolute error of the seasonal naive so far (of the last value during the first season); null while there is none or it is 0. */
  get scale(): number | null {
    const scale = this.#errors > 0 ? this.#error : this.#step
    return scale > 0 ? scale : null
  }

  /** One step; NaN moves time on. */
  observe(value: number): void {
    if (!Number.isNaN(value) && !Number.isNaN(this.#last)) {
      this.#steps = Math.min(MEMORY, this.#steps + 1)
      this.#step += (Math.abs(value - this.#last) - this.#step) / this.#steps
    }
    if (this.#length >= this.#season) {
      const before = this.#ring[this.#at] as number
      if (!Number.isNaN(value) && !Number.isNaN(before)) {
        this.#errors = Math.min(MEMORY, this.#errors + 1)
        this.#error += (Math.abs(value - before) - this.#error) / this.#errors
      }
    }
    this.#push(value)
    if (!Number.isNaN(value)) this.#last = value
  }

  /** Its forecast h steps ahead (h >= 1); NaN before the first value. */
  forecast(h: number): number {
    if (this.#length < this.#season) return this.#last
    const value = this.#ring[(this.#at + ((h - 1) % this.#season)) % this.#season] as number
    return Number.isNaN(value) ? this.#last : value
  }

  /** Bytes of state. */
  get memoryBytes(): number {
    return this.#ring.byteLength + 64
  }

  #push(value: number): void {
    if (this.#length === this.#ring.length && this.#length < this.#season) {
      const grown = new Float32Array(Math.min(this.#season, 2 * this.#length))
      grown.set(this.#ring)
      this.#ring = grown
    }
    if (this.#length < this.#season) this.#ring[this.#length++] = value
    else {
      this.#ring[this.#at] = value
      this.#at = this.#at + 1 === this.#season ? 0 : this.#at + 1
    }
  }

  encode(writer: ByteWriter): void {
    for (const count of [this.#at, this.#length, this.#errors, this.#steps]) writer.varint(count)
    for (const value of [this.#last, this.#error, this.#step]) writer.f64(value)
    for (let i = 0; i < this.#length; i++) writer.f32(this.#ring[i] as number)
  }

  decode(reader: ByteReader): void {
    this.#at = reader.varint()
    this.#length = reader.varint()
    this.#errors = reader.varint()
    this.#steps = reader.varint()
    this.#last = reader.f64()
    this.#error = reader.f64()
    this.#step = reader.f64()
    this.#ring = new Float32Array(Math.min(this.#season, Math.max(FIRST_CAPACITY, this.#length)))
    for (let i = 0; i < this.#length; i++) this.#ring[i] = reader.f32()
  }
}
