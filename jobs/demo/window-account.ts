/** Counts per key and window, in columns: 20 bytes per window, so that a day of windows fits anywhere. */
export class WindowAccount {
  readonly windowMs: number
  readonly #index = new Map<string, number>()
  readonly #keys: KeyColumns[] = []

  constructor(windowMs: number) {
    if (!(windowMs > 0)) throw new RangeError(`windowMs = ${windowMs} must be above 0.`)
    this.windowMs = windowMs
  }

  /** Keys counted so far. */
  get keys(): string[] {
    return [...this.#index.keys()]
  }

  /** Number of the windows counted. */
  get windows(): number {
    let windows = 0
    this.forEach((_key, _start, { rows }) => {
      if (rows > 0) windows++
    })
    return windows
  }

  /** A number for a key, for `add`. */
  keyId(key: string): number {
    const known = this.#index.get(key)
    if (known !== undefined) return known
    const id = this.#keys.push({ first: 0, records: NONE, bytes: NONE, rows: NO_ROWS }) - 1
    this.#index.set(key, id)
    return id
  }

  /** Counts into the window that `timeMs` lies in. `rows`: how many times the window itself was reported. */
  add(keyId: number, timeMs: number, records: number, bytes: number, rows = 1): void {
    const columns = this.#keys[keyId]
    if (columns === undefined) throw new RangeError(`There is no key ${keyId}.`)
    const window = Math.floor(timeMs / this.windowMs)
    const at = window - columns.first
    if (at < 0 || at >= columns.rows.length) grow(columns, window)
    const slot = window - columns.first
    columns.records[slot] = columns.records[slot]! + records
    columns.bytes[slot] = columns.bytes[slot]! + bytes
    columns.rows[slot] = columns.rows[slot]! + rows
  }

  /** What was counted for a key in the window that starts at `startMs`. */
  get(key: string, startMs: number): Counted {
    const columns = this.#keys[this.#index.get(key) ?? -1]
    const slot = Math.floor(startMs / this.windowMs) - (columns?.first ?? 0)
    const { records, bytes, rows } = columns ?? EMPTY
    return { records: records[slot] ?? 0, bytes: bytes[slot] ?? 0, rows: rows[slot] ?? 0 }
  }

  /** Every window of every key, counted or not between its first and last. */
  forEach(visit: (key: string, startMs: number, counted: Counted) => void): void {
    for (const [key, id] of this.#index) {
      const { first, records, bytes, rows } = this.#keys[id] ?? EMPTY
      for (let slot = 0; slot < rows.length; slot++) {
        if (rows[slot] === 0) continue
        visit(key, (first + slot) * this.windowMs, {
          records: records[slot]!,
          bytes: bytes[slot]!,
          rows: rows[slot]!,
        })
      }
    }
  }

  /** Adds another account of the same windows; `sign` -1 takes it away. */
  merge(other: WindowAccount, sign: 1 | -1 = 1): void {
    other.forEach((key, startMs, { records, bytes }) =>
      this.add(this.keyId(key), startMs, sign * records, sign * bytes),
    )
  }
}

/** What stands for one key and window. */
export interface Counted {
  readonly records: number
  readonly bytes: number
  readonly rows: number
}

interface KeyColumns {
  /** Number of the window in slot 0. */
  first: number
  records: Float64Array
  bytes: Float64Array
  rows: Uint32Array
}

const NONE = new Float64Array(0)
const NO_ROWS = new Uint32Array(0)
const EMPTY: KeyColumns = { first: 0, records: NONE, bytes: NONE, rows: NO_ROWS }
/** A window beyond this many others is a time that no valid record has. */
const MOST_WINDOWS = 1 << 24

/** Makes room for a window before the first or behind the last. */
function grow(columns: KeyColumns, window: number): void {
  const length = columns.rows.length
  const first = length === 0 ? window : Math.min(columns.first, window)
  const needed = Math.max(length === 0 ? 1 : columns.first + length - first, window - first + 1)
  if (needed > MOST_WINDOWS) throw new RangeError(`${needed} windows between the first and the last.`)
  const size = Math.max(64, 2 ** Math.ceil(Math.log2(needed)))
  const shift = length === 0 ? 0 : columns.first - first
  const moved = <T extends Float64Array | Uint32Array>(from: T, to: T): T => {
    to.set(from, shift)
    return to
  }
  columns.records = moved(columns.records, new Float64Array(size))
  columns.bytes = moved(columns.bytes, new Float64Array(size))
  columns.rows = moved(columns.rows, new Uint32Array(size))
  columns.first = first
}
