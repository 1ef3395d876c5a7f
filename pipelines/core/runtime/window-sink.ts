import type { AggregatePlan } from './aggregate-columns.ts'
import { breathe } from './breathe.ts'
import { ClosedWindow } from './closed-window.ts'
import type { KeyedTable } from './keyed-table.ts'
import { markHeaders } from './marks.ts'
import type { Row } from './row.ts'
import type { TaskContext } from './task.ts'
import { originOf, type Topology, type WindowSpec } from './topology.ts'
import { type Pane, type WindowShape, WindowStore } from './window-store.ts'

/** Origin under which the tasks that write a window's output tell their progress. */
export const windowNode = (topology: string, window: string): string => `${topology}/${window}`

/** The open windows of one window node in one source task, as the task sees them. */
export interface SourceSink {
  readonly store: {
    readonly bytes: number
    /** Adds what has been read to the aggregates: before its buffer is used again. */
    flush(): void
    /** Smallest offset that open windows need; `otherwise` if none is open. */
    replayFrom(otherwise: number): number
  }
  /** Takes a record into its windows that are still open; false if all of them have closed. It counts after a flush of the store. */
  add(timeMs: number, row: Row, offset: number, watermarkMs: number): boolean
  /** As `add`, for a record from before the commit: `watermarkMs` is that of the commit. */
  replay(timeMs: number, row: Row, offset: number, watermarkMs: number): void
  /** True if `catchUp` must be called before a record of this time is replayed. */
  isBehind(timeMs: number): boolean
  catchUp(timeMs: number): Promise<void>
  /** The smallest watermark (ms) that closes a further window; -Infinity before the first record. */
  readonly closesNextAtMs: number
  /** The watermark (ms) at `store.replayFrom`, if a replay has to begin with it; else `otherwise`. */
  replayMs(otherwise: number): number
  /** What a restart knows: everything that `watermarkMs` closes has been emitted; at the start of the replay it was `replayMs`. */
  resume(watermarkMs: number, replayMs: number): void
  /** Input before `beforeMs` (event time) may be missing: windows that begin before are incomplete. */
  lostInput(beforeMs: number): void
  /** True if a window that begins before `beforeMs` (event time) has not been emitted yet. */
  opensBefore(beforeMs: number): boolean
  /**
   * Emits what the watermark closes, and tells the progress if something closes or `announce`; true if anything was
   * emitted. Also where nothing is open: a late record may still come that belongs to a window that closes now and to
   * one that does not.
   */
  advance(watermarkMs: number, announce: boolean): Promise<boolean>
  /** Tells that nothing comes any more, so that others do not wait. */
  tellIdle(): void
}

/** Tumbling and hopping windows, and the slices of sessions that are put together elsewhere. */
export class WindowSink implements SourceSink {
  readonly store: WindowStore
  readonly #shape: WindowShape
  readonly #keySlot: number
  readonly #context: TaskContext
  readonly #emitter: PaneEmitter
  #closedThroughMs = Number.NEGATIVE_INFINITY
  #incompleteBeforeMs = Number.NEGATIVE_INFINITY

  constructor(
    shape: WindowShape,
    plan: AggregatePlan,
    keySlot: number,
    context: TaskContext,
    emitter: PaneEmitter,
  ) {
    this.#shape = shape
    this.#keySlot = keySlot
    this.#context = context
    this.#emitter = emitter
    this.store = new WindowStore(shape, plan)
  }

  add(timeMs: number, row: Row, offset: number, watermarkMs: number): boolean {
    return this.store.add(timeMs, row, this.#keySlot, offset, watermarkMs)
  }

  /** A window that is open at the commit was open for every record before it. */
  replay(timeMs: number, row: Row, offset: number, watermarkMs: number): void {
    this.store.add(timeMs, row, this.#keySlot, offset, watermarkMs)
  }

  isBehind(): boolean {
    return false
  }

  async catchUp(): Promise<void> {}

  replayMs(otherwise: number): number {
    return otherwise
  }

  get closesNextAtMs(): number {
    return this.#closedThroughMs + this.#shape.advanceMs + this.#shape.graceMs
  }

  resume(watermarkMs: number): void {
    this.#closedThroughMs = this.store.closesThroughMs(watermarkMs)
  }

  lostInput(beforeMs: number): void {
    this.#incompleteBeforeMs = beforeMs
  }

  opensBefore(beforeMs: number): boolean {
    return Number.isFinite(beforeMs) && this.#closedThroughMs < beforeMs + this.#shape.sizeMs - 1
  }

  async advance(watermarkMs: number, announce: boolean): Promise<boolean> {
    const throughMs = this.store.closesThroughMs(watermarkMs)
    const closes = throughMs > this.#closedThroughMs
    if (closes) {
      await this.store.close(this.#closedThroughMs, throughMs, async (pane, startMs, endMs) => {
        pane.incomplete ||= startMs < this.#incompleteBeforeMs
        await this.#emitter.emit(pane, startMs, endMs)
        this.#context.counters.windows += pane.keys.size
      })
      this.#closedThroughMs = throughMs
    }
    if (closes || announce) this.#emitter.mark(this.#closedThroughMs, false)
    return closes || announce
  }

  tellIdle(): void {
    this.#emitter.mark(this.#closedThroughMs, true)
  }
}

/** Where closed windows go. */
export interface PaneEmitter {
  /** Emits all keys; over several turns of the event loop if there are many. */
  emit(pane: Pane, startMs: number, endMs: number): Promise<void>
  mark(watermarkMs: number, idle: boolean): void
}

/** Writes rows to one partition of a window's topic. */
export interface RowWriter {
  write(from: KeyedTable, slot: number, startMs: number, endMs: number, incomplete: boolean): void
  mark(watermarkMs: number, idle: boolean): void
}

/** Writes finished rows, one record per key, to one partition of the window's topic. */
export function rowWriter(
  topology: Topology,
  name: string,
  partition: number,
  context: TaskContext,
): RowWriter {
  const { to, aggregates } = topology.windows[name] as WindowSpec
  const view = new ClosedWindow(Object.keys(aggregates))
  const topic = context.topicName(to.topic)
  const origin = originOf(windowNode(topology.name, name), partition)
  return {
    write(from, slot, startMs, endMs, incomplete) {
      view.at(from, slot, startMs, endMs, incomplete)
      const value = context.encoder.encodeView(to.topic, to.record, to.row(view))
      context.out.emit(topic, partition, endMs, from.keys.view(slot), value)
    },
    mark(watermarkMs, idle) {
      const headers = markHeaders({ origin, watermarkMs, idle })
      context.out.emit(topic, partition, context.clock.nowMs(), null, null, headers)
    },
  }
}

/** Emits the rows of whole panes. */
export function rowEmitter(rows: RowWriter): PaneEmitter {
  return {
    async emit(pane, startMs, endMs) {
      for (let slot = 0; slot < pane.keys.size; slot++) {
        const pause = breathe(slot + 1)
        if (pause !== undefined) await pause
        rows.write(pane, slot, startMs, endMs, pane.incomplete)
      }
    },
    mark: (watermarkMs, idle) => rows.mark(watermarkMs, idle),
  }
}
