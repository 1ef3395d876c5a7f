import type { Row } from './row.ts'

/** A number taken from a record: the slot of a field, or a function of the record. */
export type NumberOf = number | ((row: Row) => number)

/** What to keep per key and window. All are mergeable: merge(a, b) equals adding all records to one. */
export type AggregateSpec =
  | { readonly kind: 'count' }
  | { readonly kind: 'sum' | 'min' | 'max' | 'mean' | 'sketch'; readonly of: NumberOf }
  | { readonly kind: 'distinct'; readonly slot: number }
  | {
      readonly kind: 'histogram'
      readonly of: NumberOf
      readonly bin: (row: Row) => number
      readonly bins: number
    }

/** Number of records. */
export const count = (): AggregateSpec => ({ kind: 'count' })
/** Sum of a value. */
export const sum = (of: NumberOf): AggregateSpec => ({ kind: 'sum', of })
/** Smallest value. */
export const min = (of: NumberOf): AggregateSpec => ({ kind: 'min', of })
/** Largest value. */
export const max = (of: NumberOf): AggregateSpec => ({ kind: 'max', of })
/** Arithmetic mean. */
export const mean = (of: NumberOf): AggregateSpec => ({ kind: 'mean', of })
/** Quantiles within 1 % (DDSketch: Masson, Rim, Lee, VLDB 2019). */
export const sketch = (of: NumberOf): AggregateSpec => ({ kind: 'sketch', of })
/** Number of distinct values of a string field, estimated. */
export const distinct = (slot: number): AggregateSpec => ({ kind: 'distinct', slot })

/** Sum of a value per bin: `bin` gives 0..bins-1 of a record. */
export const histogram = (of: NumberOf, bins: number, bin: (row: Row) => number): AggregateSpec => ({
  kind: 'histogram',
  of,
  bin,
  bins,
})
