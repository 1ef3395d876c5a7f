import type { ByteReader, ByteWriter } from '#core/math'

/** Appends the values of an array whose length both sides know. */
export function putNumbers(out: ByteWriter, values: ArrayLike<number>): void {
  for (let i = 0; i < values.length; i++) out.f64(values[i]!)
}

/** Reads values in place. */
export function takeNumbers(from: ByteReader, into: Float64Array): void {
  for (let i = 0; i < into.length; i++) into[i] = from.f64()
}

/** Appends a list of arrays of any length. */
export function putList(out: ByteWriter, list: readonly ArrayLike<number>[]): void {
  out.varint(list.length)
  for (const values of list) {
    out.varint(values.length)
    putNumbers(out, values)
  }
}

/** Reads a list of arrays. */
export function takeList(from: ByteReader): Float64Array[] {
  return Array.from({ length: from.varint() }, () => {
    const values = new Float64Array(from.varint())
    takeNumbers(from, values)
    return values
  })
}
