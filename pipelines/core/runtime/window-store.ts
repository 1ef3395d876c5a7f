import type { AggregatePlan } from './aggregate-columns.ts'
import { ByteReader, ByteWriter } from '../math/index.ts'
import { KeyedTable } from './keyed-table.ts'
import { END_OF_INPUT_MS } from './marks.ts'
import { compileInputs, RecordRun, RUN_RECORDS, type TakeInputs } from './record-run.ts'
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
export class Pane extends KeyedTable {
  readonly startMs: number
  /** First event time (ms) that no longer belongs to it. */
  readonly endMs: number
  /** The watermark (ms) that closes the last of its windows. */
  readonly closesAtMs: number
  /** Records that have been read but not yet added. */
  run: RecordRun | undefined
  /** Smallest input offset that contributes: where a replay must begin while this pane is open. */
  firstOffset = Number.POSITIVE_INFINITY
  incomplete = false

  constructor(startMs: number, endMs: number, closesAtMs: number, plan: AggregatePlan) {
    super(plan)
    this.startMs = startMs
    this.endMs = endMs
    this.closesAtMs = closesAtMs
  }

  /** Adds the records of its run, and empties it. */
  take(run: RecordRun): void {
    const { count, slots, inputs } = run
    this.keys.slots(run.buffer, run.starts, run.ends, count, slots)
    for (const column of this.columns) column.addRun(slots, inputs, count)
    run.count = 0
  }
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b))

/**
 * The open windows of one task. Records go into panes of the greatest common divisor of size and step, so that a
 * hopping window costs one update per record; panes are merged when a window closes.
 */
export class WindowStore {
  readonly shape: WindowShape
  readonly #plan: AggregatePlan
  readonly #takeInputs: TakeInputs
  readonly #paneMs: number
  readonly #panes = new Map<number, Pane>()
  /** The pane of the last record, and the one before: out of order, records alternate between two. */
  #last: Pane | undefined
  #before: Pane | undefined
  /** Panes with a run. */
  readonly #filling: Pane[] = []
  readonly #freeRuns: RecordRun[] = []
  #runBytes = 0

  constructor(shape: WindowShape, plan: AggregatePlan) {
    this.shape = shape
    this.#plan = plan
    this.#takeInputs = compileInputs(plan.inputs)
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
    let total = this.#runBytes
    for (const pane of this.#panes.values()) total += pane.bytes
    return total
  }

  /** The pane of an event time, made if need be; undefined if `watermarkMs` has closed all of its windows. */
  #open(eventTimeMs: number, watermarkMs: number): Pane | undefined {
    let pane = this.#last
    if (pane === undefined || eventTimeMs < pane.startMs || eventTimeMs >= pane.endMs) {
      pane = this.#before
      if (pane === undefined || eventTimeMs < pane.startMs || eventTimeMs >= pane.endMs) {
        if (this.lastEndMs(eventTimeMs) + this.shape.graceMs <= watermarkMs) return undefined
        pane = this.#pane(eventTimeMs)
      }
      this.#before = this.#last
      this.#last = pane
    }
    return pane.closesAtMs <= watermarkMs ? undefined : pane
  }

  #pane(eventTimeMs: number): Pane {
    const startMs = Math.floor(eventTimeMs / this.#paneMs) * this.#paneMs
    let pane = this.#panes.get(startMs)
    if (pane === undefined) {
      const closesAtMs = this.lastEndMs(startMs) + this.shape.graceMs
      pane = new Pane(startMs, startMs + this.#paneMs, closesAtMs, this.#plan)
      this.#panes.set(startMs, pane)
    }
    return pane
  }

  /**
   * Takes a record into its windows that are still open; false if `watermarkMs` has closed all of them. Its key is
   * the string field in `keySlot`. It counts once `flush` has been called: before its buffer is used again.
   */
  add(eventTimeMs: number, row: Row, keySlot: number, offset: number, watermarkMs: number): boolean {
    const pane = this.#open(eventTimeMs, watermarkMs)
    if (pane === undefined) return false
    if (offset < pane.firstOffset) pane.firstOffset = offset
    let run = pane.run
    if (run === undefined || run.count === RUN_RECORDS || run.buffer !== row.buffer)
      run = this.#nextRun(pane, row.buffer)
    const at = run.count++
    run.starts[at] = row.starts[keySlot] as number
    run.ends[at] = row.ends[keySlot] as number
    this.#takeInputs(row, run.inputs, at)
    return true
  }

  #nextRun(pane: Pane, buffer: Buffer): RecordRun {
    let { run } = pane
    if (run === undefined) {
      run = this.#freeRuns.pop() ?? this.#newRun()
      pane.run = run
      this.#filling.push(pane)
    } else pane.take(run)
    run.buffer = buffer
    return run
  }

  #newRun(): RecordRun {
    const run = new RecordRun(this.#plan.inputs.length)
    this.#runBytes += run.bytes
    return run
  }

  /** Adds what the runs hold to the aggregates. */
  flush(): void {
    for (const pane of this.#filling) {
      const run = pane.run as RecordRun
      pane.take(run)
      pane.run = undefined
      this.#freeRuns.push(run)
    }
    this.#filling.length = 0
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
  async close(
    closedThroughMs: number,
    throughMs: number,
    closed: (pane: Pane, startMs: number, endMs: number) => Promise<void>,
  ): Promise<void> {
    if (this.#panes.size === 0) return
    this.flush()
    const { sizeMs } = this.shape
    for (const endMs of this.#ends(closedThroughMs, throughMs)) {
      await closed(this.#merged(endMs - sizeMs, endMs), endMs - sizeMs, endMs)
    }
    for (const [startMs] of this.#panes) if (this.lastEndMs(startMs) <= throughMs) this.#panes.delete(startMs)
    this.#last = undefined
    this.#before = undefined
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
    const merged = new Pane(startMs, endMs, endMs, this.#plan)
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
