import type { ByteReader, ByteWriter } from '#core/math'
import { decodeFloats, encodeFloats } from './model.ts'

const BINS = 96
/** Six bins to a factor of two: each is 12 % wide, all together a factor of 65,000. */
const PER_OCTAVE = 6
/** Bin of the first size seen; until this many are in, the bins still move to where the sizes are. */
const MIDDLE = 40
const SETTLING = 20
const LARGEST_WEIGHT = 1e12

/**
 * How unusual is a size among those seen before? A histogram on a logarithmic scale that forgets:
 * a size counts e times less after `memory` more. O(1) to add, 96 additions to ask, 400 bytes.
 */
export class TailHistogram {
  readonly #bins = new Float32Array(BINS)
  readonly #memory: number
  /** Absolute index (6 log2 of the size) of bin 0. */
  #first = 0
  #weight = 1
  #total = 0
  #count = 0

  constructor(memory: number) {
    this.#memory = memory
  }

  /** Share of earlier sizes at least this large (half of the ties), never 0: with n earlier ones at least about 1 / (n + 2). */
  tail(size: number): number {
    if (this.#count < SETTLING) return 1
    const bin = this.#binOf(size)
    let above = bin >= BINS ? 0 : (this.#bins[bin] as number) / 2
    for (let i = bin + 1; i < BINS; i++) above += this.#bins[i] as number
    return (above / this.#weight + 0.5) / (this.#total / this.#weight + 1)
  }

  /** Adds a size (>= 0; anything else is ignored). */
  add(size: number): void {
    if (!(size >= 0 && size < Infinity)) return
    if (this.#count === 0) this.#first = octaves(size) - MIDDLE
    const bin = this.#binOf(size)
    if (bin >= BINS) this.#shift(bin - BINS + 1)
    else if (this.#count < SETTLING && size > 0 && octaves(size) < this.#first)
      this.#shift(octaves(size) - this.#first)
    const at = Math.min(BINS - 1, this.#binOf(size))
    this.#count++
    this.#weight /= 1 - 1 / Math.max(2, Math.min(this.#count + 1, this.#memory))
    this.#bins[at] = (this.#bins[at] as number) + this.#weight
    this.#total += this.#weight
    if (this.#weight > LARGEST_WEIGHT) this.#rescale()
  }

  encode(writer: ByteWriter): void {
    for (const value of [this.#first, this.#weight, this.#total]) writer.f64(value)
    writer.varint(this.#count)
    encodeFloats(writer, this.#bins)
  }

  decode(reader: ByteReader): void {
    this.#first = reader.f64()
    this.#weight = reader.f64()
    this.#total = reader.f64()
    this.#count = reader.varint()
    decodeFloats(reader, this.#bins)
  }

  /** 0..95, or more if the size is beyond the last bin. */
  #binOf(size: number): number {
    return size > 0 ? Math.max(0, octaves(size) - this.#first) : 0
  }

  /** Moves the bins `by` steps towards larger sizes (or smaller, if negative); what falls off an end is kept in its last bin. */
  #shift(by: number): void {
    const moved = new Float32Array(BINS)
    for (let i = 0; i < BINS; i++) {
      const to = Math.max(0, Math.min(BINS - 1, i - by))
      moved[to] = (moved[to] as number) + (this.#bins[i] as number)
    }
    this.#bins.set(moved)
    this.#first += by
  }

  #rescale(): void {
    for (let i = 0; i < BINS; i++) this.#bins[i] = (this.#bins[i] as number) / this.#weight
    this.#total /= this.#weight
    this.#weight = 1
  }
}

/** Whole sixths of log2; sizes below 1e-300 count as that. */
const octaves = (size: number): number => Math.round(PER_OCTAVE * Math.log2(Math.max(1e-300, size)))
