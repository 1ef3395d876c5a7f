import { Buffer } from 'node:buffer'
import type { NumberOf } from './aggregates.ts'
import type { Row } from './row.ts'

/** Records of a run: enough that each pass over them is a long loop, few enough that they stay in the first cache. */
export const RUN_RECORDS = 512

/**
 * Records of one pane that have been read and not yet been added to its aggregates: where their keys lie, and the
 * numbers that the aggregates take from them, by input. What differs from record to record (is it valid, is it late)
 * has been decided before; what is left is the same for all and is done in loops, one per aggregate.
 */
export class RecordRun {
  buffer: Buffer = Buffer.alloc(0)
  count = 0
  readonly starts = new Int32Array(RUN_RECORDS)
  readonly ends = new Int32Array(RUN_RECORDS)
  readonly slots = new Int32Array(RUN_RECORDS)
  readonly inputs: readonly Float64Array[]

  constructor(inputs: number) {
    this.inputs = Array.from({ length: inputs }, () => new Float64Array(RUN_RECORDS))
  }

  /** Bytes held. */
  get bytes(): number {
    return RUN_RECORDS * (12 + 8 * this.inputs.length)
  }
}

/** Takes the inputs of one record: writes them to position `at` of each column. */
export type TakeInputs = (row: Row, columns: readonly Float64Array[], at: number) => void

/**
 * Compiles the inputs of a window into one function. In a loop over the inputs every call would be megamorphic; here
 * each has a call site of its own, which V8 inlines. Only numbers counted here get into the code.
 */
export function compileInputs(inputs: readonly NumberOf[]): TakeInputs {
  const functions = inputs.filter((of) => typeof of === 'function')
  const lines = inputs.map((of, k) => {
    if (typeof of === 'function') return `columns[${k}][at] = f${functions.indexOf(of)}(row);`
    if (!Number.isInteger(of)) throw new RangeError(`slot ${of} is not a whole number`)
    return `columns[${k}][at] = row.numbers[${of}];`
  })
  const names = functions.map((_, k) => `f${k}`)
  const source = `'use strict';\nreturn function takeInputs(row, columns, at) {\n${lines.join('\n')}\n}`
  // oxlint-disable-next-line typescript/no-implied-eval -- the code holds numbers counted here, no text from outside
  return (new Function(...names, source) as (...f: unknown[]) => TakeInputs)(...functions)
}
