import type { Buffer } from 'node:buffer'

/**
 * One decoded record, read in place: numbers by slot, strings as byte ranges of `buffer`.
 * Slot i is the i-th of the source's `fields`. Overwritten by the next record.
 */
export interface Row {
  readonly buffer: Buffer
  readonly numbers: Float64Array
  readonly starts: Int32Array
  readonly ends: Int32Array
}

/** The slots of fields by name: `const F = slotsOf(FIELDS); row.numbers[F.bytes]`. */
export const slotsOf = <const Name extends string>(fields: readonly Name[]): Record<Name, number> =>
  Object.fromEntries(fields.map((field, i) => [field, i])) as Record<Name, number>

/** The text of a string field. Allocates: for reasons and keys, not for every record. */
export const textOf = (row: Row, slot: number): string =>
  row.buffer.toString('utf8', row.starts[slot], row.ends[slot])

/** What a source's check says of a record: nothing (accept), skip it (valid but not wanted), or refuse it. */
export type Verdict = undefined | { readonly skip: string } | { readonly invalid: string }
