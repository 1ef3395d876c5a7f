import { type AggregateColumn, type AggregateSpec, createColumn } from './aggregates.ts'
import { ByteReader, ByteWriter } from '../math/index.ts'
import { KeyTable } from './key-table.ts'
import { END_OF_INPUT_MS } from './marks.ts'
import type { Row } from './row.ts'

/** Length, step and lateness of an event-time window, all in ms; windows start at multiples of `advanceMs`. */
export interface WindowShape {
  sizeMs: number
  /** Equal to sizeMs: tumbling; smaller: hopping. */
  advanceMs: number
  /** How long after its end a window still takes records. */
  graceMs: number
}

/** The columns of one stretch of event time: a window, or the part that overlapping windows share. */
export class Pane {
  readonly startMs: number
  readonly keys = new KeyTable()
  readonly columns: AggregateColumn[]
  /** Smallest input offset that contributes: where a replay must begin while this pane is open. */
  firstOffset = Number.POSITIVE_INFINITY
  incomplete = false

  constructor(startMs: number, specs: readonly AggregateSpec[]) {
    this.startMs = startMs
    this.columns = specs.map(createColumn)
  }

  /** Bytes held. */
  get bytes(): number {
    let total = this.keys.bytes
    for (const column of this.columns) total += column.bytes
    return total
  }
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))

/**
 * The open windows of one task. Records go into panes of the greatest common divisor of size and step, so that a
 * hopping window costs one update per record; panes are merged when a window closes.
 */
export class WindowStore {
  readonly shape: WindowShape
  readonly #specs: readonly AggregateSpec[]
  readonly #paneMs: number
  readonly #panes = new Map<number, Pane>()
  #last: Pane | undefined

  constructor(shape: WindowShape, specs: readonly AggregateSpec[]) {
    this.shape = shape
    this.#specs = specs
    this.#paneMs = gcd(shape.sizeMs, shape.advanceMs)
  }

  /** End of the last window that an event at `eventTimeMs` belongs to. */
  lastEndMs(eventTimeMs: number): number {
    return Math.floor(eventTimeMs / this.shape.advanceMs) * this.shape.advanceMs + this.shape.sizeMs
  }

  /** The largest window end that a watermark closes. */
  closesThroughMs(watermarkMs: number): number {
    if (!Number.isFinite(watermarkMs) || watermarkMs >= END_OF_INPUT_MS) return watermarkMs
    const { sizeMs, advanceMs, graceMs } = this.shape
    return Math.floor((watermarkMs - graceMs - sizeMs) / advanceMs) * advanceMs + sizeMs
  }

  /** Number of open panes. */
  get size(): number {
    return this.#panes.size
  }

  /** Bytes held by all open panes. */
  get bytes(): number {
    let total = 0
    for (const pane of this.#panes.values()) total += pane.bytes
    return total
  }

  #pane(eventTimeMs: number): Pane {
    const startMs = Math.floor(eventTimeMs / this.#paneMs) * this.#paneMs
    if (this.#last !== undefined && this.#last.startMs === startMs) return this.#last
    let pane = this.#panes.get(startMs)
    if (pane === undefined) {
      pane = new Pane(startMs, this.#specs)
      this.#panes.set(startMs, pane)
    }
    this.#last = pane
    return pane
  }

  /** Adds a record; its key is the string field in `keySlot`. */
  add(eventTimeMs: number, row: Row, keySlot: number, offset: number): void {
    const pane = this.#pane(eventTimeMs)
    if (offset < pane.firstOffset) pane.firstOffset = offset
    const slot = pane.keys.slot(row.buffer, row.starts[keySlot] as number, row.ends[keySlot] as number)
    const columns = pane.columns
    for (let i = 0; i < columns.length; i++) (columns[i] as AggregateColumn).add(slot, row)
  }

  /** Merges a block of encoded entries (see `encodeEntry`) into the pane that starts at `startMs`. */
  mergeBlock(startMs: number, incomplete: boolean, from: ByteReader, offset: number): void {
    const pane = this.#pane(startMs)
    pane.incomplete ||= incomplete
    if (offset < pane.firstOffset) pane.firstOffset = offset
    while (from.remaining > 0) mergeEntry(pane, from)
  }

  /** Smallest offset that contributes to an open window; `otherwise` if none is open. */
  replayFrom(otherwise: number): number {
    let smallest = otherwise
    for (const pane of this.#panes.values()) if (pane.firstOffset < smallest) smallest = pane.firstOffset
    return smallest
  }

  /** Closes all windows whose end lies in (closedThroughMs, throughMs], in order of their end. */
  close(
    closedThroughMs: number,
    throughMs: number,
    closed: (pane: Pane, startMs: number, endMs: number) => void,
  ): void {
    if (this.#panes.size === 0) return
    const { sizeMs } = this.shape
    for (const endMs of this.#ends(closedThroughMs, throughMs)) {
      closed(this.#merged(endMs - sizeMs, endMs), endMs - sizeMs, endMs)
    }
    for (const [startMs] of this.#panes) if (this.lastEndMs(startMs) <= throughMs) this.#panes.delete(startMs)
    this.#last = undefined
  }

  #ends(closedThroughMs: number, throughMs: number): number[] {
    const { advanceMs } = this.shape
    const ends = new Set<number>()
    for (const startMs of this.#panes.keys()) {
      for (let endMs = this.lastEndMs(startMs); endMs > startMs; endMs -= advanceMs) {
        if (endMs > closedThroughMs && endMs <= throughMs) ends.add(endMs)
      }
    }
    return [...ends].sort((a, b) => a - b)
  }

  #merged(startMs: number, endMs: number): Pane {
    const parts = [...this.#panes.values()].filter((p) => p.startMs >= startMs && p.startMs < endMs)
    const [only] = parts
    if (parts.length === 1 && only !== undefined) return only
    const merged = new Pane(startMs, this.#specs)
    const writer = new ByteWriter()
    for (const part of parts.sort((a, b) => a.startMs - b.startMs)) {
      merged.incomplete ||= part.incomplete
      for (let slot = 0; slot < part.keys.size; slot++) {
        writer.reset()
        encodeEntry(part, slot, writer)
        mergeEntry(merged, new ByteReader(writer.view()))
      }
    }
    return merged
  }
}

/** Appends key and aggregates of one slot of a pane. */
export function encodeEntry(pane: Pane, slot: number, out: ByteWriter): void {
  const key = pane.keys.view(slot)
  out.varint(key.length)
  out.bytes(key)
  for (const column of pane.columns) column.encode(slot, out)
}

function mergeEntry(pane: Pane, from: ByteReader): void {
  const key = from.bytes(from.varint())
  const slot = pane.keys.slot(key, 0, key.length)
  for (const column of pane.columns) column.merge(slot, from)
}
