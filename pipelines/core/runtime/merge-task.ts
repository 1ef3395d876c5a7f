import { AggregatePlan } from './aggregate-columns.ts'
import { ByteReader } from '../math/index.ts'
import type { OffsetToCommit, RecordCursor, TopicPartition } from '../ports/index.ts'
import { partitionKey } from '../ports/index.ts'
import { emitDeadLetter } from './dead-letter.ts'
import { OriginProgress, readMark } from './marks.ts'
import { decodeNote, encodeNote } from './notes.ts'
import { lostInput, type Task, type TaskContext, type TaskStart } from './task.ts'
import { type FixedWindowSpec, originsOf, type SourceSpec, type Topology } from './topology.ts'
import { type PaneEmitter, partialNode, rowEmitter, rowWriter } from './window-sink.ts'
import { WindowStore } from './window-store.ts'

/**
 * Merges the partial aggregates of all source partitions for the keys of one partition, and closes a window when
 * every source partition has passed it. Grace was spent at the sources, so there is none here.
 */
export class MergeTask implements Task {
  readonly id: string
  readonly inputs: readonly TopicPartition[]
  readonly #topology: string
  readonly #source: SourceSpec
  readonly #spec: FixedWindowSpec
  readonly #context: TaskContext
  readonly #store: WindowStore
  readonly #progress: OriginProgress
  readonly #emitter: PaneEmitter
  #position = 0
  #committed = 0
  #closedThroughMs = Number.NEGATIVE_INFINITY
  #incompleteBeforeMs = Number.NEGATIVE_INFINITY
  /** Where the replay of open windows should have begun, if retention had not removed it. */
  #lostFrom = Number.POSITIVE_INFINITY
  /** Blocks that nobody has read are gone, too: of which windows, the next marks tell. */
  #gap = false
  #idle = false
  #urgent = false
  #dirty = false

  constructor(topology: Topology, window: string, partition: number, context: TaskContext) {
    const spec = topology.windows[window] as FixedWindowSpec
    this.id = `${topology.name}/${window}:merge/${partition}`
    this.#topology = topology.name
    this.#spec = spec
    this.#context = context
    this.inputs = [{ topic: context.topicName(spec.merge?.topic ?? ''), partition }]
    const { advanceMs } = spec
    this.#store = new WindowStore(
      { sizeMs: advanceMs, advanceMs, graceMs: 0 },
      new AggregatePlan(Object.values(spec.aggregates)),
    )
    this.#source = topology.sources[spec.from] as SourceSpec
    const writer = {
      node: partialNode(topology.name, window),
      partitionsOf: this.#source.topic,
      aligned: false,
    }
    this.#progress = new OriginProgress(
      originsOf([writer], partition, (topic) => context.partitionsOf(topic)),
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
    const input = this.inputs[0] as TopicPartition
    const key = partitionKey(input.topic, input.partition)
    const { committed, earliest } = starts.get(key) as TaskStart
    this.#committed = committed.offset < 0 ? earliest : committed.offset
    this.#position = this.#committed
    const note = committed.offset < 0 ? undefined : decodeNote(committed.metadata)
    if (note !== undefined) {
      this.#closedThroughMs = note.closedThroughMs
      this.#progress.restore(note)
    }
    const from = note?.replayFrom ?? this.#committed
    if (from >= earliest) return new Map([[key, from]])
    this.#lostFrom = from
    this.#incompleteBeforeMs = this.#progress.aheadMs()
    this.#gap = earliest > this.#committed
    this.#context.warn(lostInput(this.id, input, from, earliest))
    return new Map([[key, earliest]])
  }

  async process(cursor: RecordCursor): Promise<void> {
    while (cursor.next()) this.#take(cursor, cursor.offset >= this.#committed)
    this.#position = Math.max(this.#position, cursor.nextOffset)
    this.#dirty = true
    if (this.#position >= this.#committed) await this.#close()
  }

  #take(cursor: RecordCursor, live: boolean): void {
    if (cursor.valueLength < 0) {
      const mark = live ? readMark(cursor) : undefined
      if (mark !== undefined) this.#progress.update(mark)
      return
    }
    this.#context.merged(cursor.valueLength)
    const reader = new ByteReader(cursor.buffer, cursor.valueStart, cursor.valueStart + cursor.valueLength)
    reader.u8()
    const incomplete = reader.u8() === 1
    const startMs = reader.varint()
    if (startMs + this.#spec.sizeMs <= this.#closedThroughMs) {
      if (live) this.#tooLate(cursor, startMs)
      return
    }
    this.#store.mergeBlock(startMs, incomplete, reader, cursor.offset)
  }

  /** Only a source partition that was idle and speaks again can be this late: its block is kept as a dead letter. */
  #tooLate(cursor: RecordCursor, startMs: number): void {
    this.#context.counters.late++
    const reason = `partial aggregates of the window at ${startMs} came after it had closed without this source partition`
    const refusal = { code: 'RECORD_LATE', reason } as const
    const from = { topic: this.#spec.merge?.topic ?? '', letters: this.#source.topic }
    emitDeadLetter(this.#context, this.#topology, from, cursor, refusal, cursor.valueLength)
  }

  async #close(): Promise<void> {
    if (this.#gap) {
      this.#incompleteBeforeMs = this.#progress.aheadMs()
      this.#gap = false
    }
    const throughMs = this.#progress.watermarkMs()
    const idle = this.#progress.allIdle
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
    if (!this.#dirty || this.#position < this.#committed) return []
    this.#dirty = false
    const held = this.#store.replayFrom(this.#position)
    // As long as an incomplete window is open, the next restart must find the same loss.
    const lacking = this.#closedThroughMs < this.#incompleteBeforeMs
    const note = encodeNote({
      closedThroughMs: this.#closedThroughMs,
      eventTimeMs: Number.NEGATIVE_INFINITY,
      replayFrom: lacking ? Math.min(held, this.#lostFrom) : held,
      origins: [...this.#progress.watermarks],
      idle: [...this.#progress.idle].map((flag) => flag === 1),
    })
    return [{ ...(this.inputs[0] as TopicPartition), offset: this.#position, metadata: note }]
  }
}
