import { AggregatePlan } from './aggregate-columns.ts'
import type { OffsetToCommit, RecordCursor, TopicPartition } from '../ports/index.ts'
import { readMark } from './marks.ts'
import { type PartialReader, partialReader } from './partial-blocks.ts'
import { SoleInput } from './sole-input.ts'
import type { Task, TaskContext, TaskStart } from './task.ts'
import type { FixedWindowSpec, Topology } from './topology.ts'
import { type PaneEmitter, rowEmitter, rowWriter } from './window-sink.ts'
import { WindowStore } from './window-store.ts'

/**
 * Merges the partial aggregates of all source partitions for the keys of one partition, and closes a window when
 * every source partition has passed it. Grace was spent at the sources, so there is none here.
 */
export class MergeTask implements Task {
  readonly id: string
  readonly inputs: readonly TopicPartition[]
  readonly #spec: FixedWindowSpec
  readonly #context: TaskContext
  readonly #partials: PartialReader
  readonly #input: SoleInput
  readonly #store: WindowStore
  readonly #emitter: PaneEmitter
  #closedThroughMs = Number.NEGATIVE_INFINITY
  #incompleteBeforeMs = Number.NEGATIVE_INFINITY
  /** Blocks that nobody has read are gone, too: of which windows, the next marks tell. */
  #gap = false
  #idle = false
  #urgent = false

  constructor(topology: Topology, window: string, partition: number, context: TaskContext) {
    const spec = topology.windows[window] as FixedWindowSpec
    this.id = `${topology.name}/${window}:merge/${partition}`
    this.#spec = spec
    this.#context = context
    this.#partials = partialReader(topology, window, partition, context)
    this.#input = new SoleInput(this.#partials.input)
    this.inputs = [this.#input.partition]
    const { advanceMs } = spec
    this.#store = new WindowStore(
      { sizeMs: advanceMs, advanceMs, graceMs: 0 },
      new AggregatePlan(Object.values(spec.aggregates)),
    )
    this.#emitter = rowEmitter(rowWriter(topology, window, partition, context))
  }

  get urgent(): boolean {
    return this.#urgent
  }

  get watermarkMs(): number {
    return this.#closedThroughMs
  }

  get bytes(): number {
    return this.#store.bytes
  }

  async restore(starts: ReadonlyMap<string, TaskStart>): Promise<ReadonlyMap<string, number>> {
    const { from, note, isLost, hasGap } = this.#input.resume(starts, this.id, this.#context)
    if (note !== undefined) {
      this.#closedThroughMs = note.closedThroughMs
      this.#partials.progress.restore(note)
    }
    if (isLost) this.#incompleteBeforeMs = this.#partials.progress.aheadMs()
    this.#gap = hasGap
    return from
  }

  async process(cursor: RecordCursor): Promise<void> {
    while (cursor.next()) this.#take(cursor, cursor.offset >= this.#input.committed)
    this.#input.reach(cursor.nextOffset)
    if (!this.#input.isReplaying) await this.#close()
  }

  #take(cursor: RecordCursor, live: boolean): void {
    if (cursor.valueLength < 0) {
      const mark = live ? readMark(cursor) : undefined
      if (mark !== undefined) this.#partials.progress.update(mark)
      return
    }
    const { startMs, incomplete, entries } = this.#partials.read(cursor)
    if (startMs + this.#spec.sizeMs > this.#closedThroughMs)
      this.#store.mergeBlock(startMs, incomplete, entries, cursor.offset)
    else if (live)
      this.#partials.tooLate(
        cursor,
        `partial aggregates of the window at ${startMs} came after it had closed without this source partition`,
      )
  }

  async #close(): Promise<void> {
    const { progress } = this.#partials
    if (this.#gap) {
      this.#incompleteBeforeMs = progress.aheadMs()
      this.#gap = false
    }
    const throughMs = progress.watermarkMs()
    const idle = progress.allIdle
    if (!(throughMs > this.#closedThroughMs)) {
      if (idle === this.#idle) return
      this.#idle = idle
      this.#emitter.mark(this.#closedThroughMs, idle)
      this.#urgent = true
      return
    }
    this.#idle = idle
    const { sizeMs, advanceMs } = this.#spec
    // The store knows windows by their start: a window ends `shift` later than the pane that holds it.
    const shift = sizeMs - advanceMs
    await this.#store.close(this.#closedThroughMs - shift, throughMs - shift, async (pane, startMs) => {
      pane.incomplete ||= startMs < this.#incompleteBeforeMs
      await this.#emitter.emit(pane, startMs, startMs + sizeMs)
      this.#context.counters.windows += pane.keys.size
    })
    this.#closedThroughMs = throughMs
    this.#emitter.mark(throughMs, idle)
    this.#urgent = true
  }

  tick(): void {}

  prepareCommit(): OffsetToCommit[] {
    this.#urgent = false
    if (!this.#input.isDue) return []
    const note = {
      closedThroughMs: this.#closedThroughMs,
      eventTimeMs: Number.NEGATIVE_INFINITY,
      replayFrom: this.#store.replayFrom(this.#input.position),
      ...this.#partials.progress.told(),
    }
    return this.#input.commit(note, this.#closedThroughMs < this.#incompleteBeforeMs)
  }
}
