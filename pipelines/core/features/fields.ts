import type { Row, Verdict } from '#core/runtime'

/** The number in a slot of a row. */
export const numberAt = (row: Row, slot: number): number => row.numbers[slot] as number

/** Bytes of the text in a slot of a row. */
export const lengthAt = (row: Row, slot: number): number =>
  (row.ends[slot] as number) - (row.starts[slot] as number)

/** The first of these fields that does not lie in 0..`most`, as a verdict that names the `rule`. */
function refuseOutside<Name extends string>(
  row: Row,
  slots: Readonly<Record<Name, number>>,
  fields: readonly Name[],
  most: number,
  rule: string,
): Verdict {
  for (const field of fields) {
    const value = numberAt(row, slots[field])
    if (!(value >= 0 && value <= most)) return { invalid: `${field} = ${value}: ${rule}` }
  }
  return undefined
}

/** The first of these fields that is not a finite number of 0 or more, as a verdict; undefined: all are. */
export const refuseSizes = <Name extends string>(
  row: Row,
  slots: Readonly<Record<Name, number>>,
  fields: readonly Name[],
): Verdict => refuseOutside(row, slots, fields, Number.MAX_VALUE, 'must be a finite number of 0 or more')

/** The first of these fields that does not lie in 0..1, as a verdict; undefined: all do. */
export const refuseRatios = <Name extends string>(
  row: Row,
  slots: Readonly<Record<Name, number>>,
  fields: readonly Name[],
): Verdict => refuseOutside(row, slots, fields, 1, 'must lie in 0..1')

/** A verdict for a text that is empty: `what` it must name. Undefined: it is not empty. */
export const refuseEmpty = <Name extends string>(
  row: Row,
  slots: Readonly<Record<Name, number>>,
  field: Name,
  what: string,
): Verdict =>
  lengthAt(row, slots[field]) > 0 ? undefined : { invalid: `${field} = '': must name the ${what}` }
