import type { KeyType, TableRule } from '#core/ports'

/** What to do with a read of a sharded table that names no shard key. */
export type FanOut = 'refuse' | 'first' | 'all'

/** The sharded tables of a service, and what is done with statements that fit no segment. */
export interface RouterRules {
  /** Segments of the service: a key k lies in h32(k) mod segments. */
  readonly segments: number
  readonly tables: readonly TableRule[]
  readonly fanOut: FanOut
  /** ALTER, CREATE and other changes: refused, or sent to every instance through the log. */
  readonly changes: 'refuse' | 'all'
  /** Function calls in VALUES: refused, or evaluated once before the rows go into the log. */
  readonly expressions: 'refuse' | 'evaluate'
}

/** The canonical text of a key, as `toString(column)` gives it; null if it is no key of this type. */
export function canonicalKey(text: string, type: KeyType): string | null {
  switch (type) {
    case 'string':
      // Bytes that are no text have been lost on the way here.
      return text.includes('\ufffd') ? null : text
    case 'integer':
      return /^\s*[-+]?\d{1,80}\s*$/.test(text) ? BigInt(text.trim().replace(/^\+/, '')).toString() : null
    case 'uuid':
      return /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i.test(text) ? text.toLowerCase() : null
    case 'date':
      // Within what every type of dates holds: beyond it ClickHouse takes the nearest day.
      return /^(?:19[7-9]\d|20\d\d|21[0-3]\d)-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text))
        ? text
        : null
  }
}

/** Types of columns that a key type fits: others have no single text. */
export function fitsColumn(type: KeyType, columnType: string): boolean {
  const plain = columnType.replace(/^LowCardinality\((.*)\)$/, '$1')
  switch (type) {
    case 'string':
      return plain === 'String'
    case 'integer':
      return /^U?Int\d+$/.test(plain)
    case 'uuid':
      return plain === 'UUID'
    case 'date':
      return plain === 'Date' || plain === 'Date32'
  }
}
