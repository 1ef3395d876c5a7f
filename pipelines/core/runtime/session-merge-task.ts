import type { OffsetToCommit, RecordCursor, TopicPartition } from '../ports/index.ts'
import { readMark } from './marks.ts'
import type { CommitNote } from './notes.ts'
import { type PartialReader, partialReader } from './partial-blocks.ts'
import { SessionAssembly } from './session-assembly.ts'
import { slicePlan } from './session-shape.ts'
import { SoleInput } from './sole-input.ts'
import type { Task, TaskContext, TaskStart } from './task.ts'
import type { SessionWindowSpec, SourceSpec, Topology } from './topology.ts'
import { type RowWriter, rowWriter } from './window-sink.ts'

/** What the origins had told, and what had been settled of it. */
interface Moment {
  readonly settledMs: number
  readonly origins: readonly number[]
  readonly idle: readonly boolean[]
}

/** Bytes of an origin in a moment. */
const ORIGIN_BYTES = 16

/**
 * Merges the slices of all source partitions for the keys of one partition, and puts sessions together from slices that
 * every source partition has passed: then a record that would join two of them has come, from whichever partition. Marks
 * settle slices where they stand in the log, so that a replay, which takes them in again, goes the same way.
 */
export class SessionMergeTask implements Task {
  readonly id: string
  readonly inputs: readonly TopicPartition[]
  readonly #context: TaskContext
  readonly #partials: PartialReader
  readonly #input: SoleInput
  readonly #assembly: SessionAssembly<Moment>
  readonly #rows: RowWriter
  /** What had been settled at the commit; and of the origins, the largest watermark. */
  #resumedMs = Number.NEGATIVE_INFINITY
  #incompleteBeforeMs = Number.NEGATIVE_INFINITY
  /** Blocks that nobody has read are gone, too: of which slices, the next mark of each of these origins tells. */
  #unheard = new Set<string>()
  #isLive = false
  #toldMs = Number.NEGATIVE_INFINITY
  #idle = false
  #urgent = false

  constructor(topology: Topology, window: string, partition: number, context: TaskContext) {
    const spec = topology.windows[window] as SessionWindowSpec
    this.id = `${topology.name}/${window}:merge/${partition}`
    this.#context = context
    this.#partials = partialReader(topology, window, partition, context)
    this.#input = new SoleInput(this.#partials.input)
    this.inputs = [this.#input.partition]
    this.#rows = rowWriter(topology, window, partition, context)
    const { fields, eventTime } = topology.sources[spec.from] as SourceSpec
    const plan = slicePlan(spec.aggregates, fields.indexOf(eventTime))
    const momentBytes = this.#partials.origins.length * ORIGIN_BYTES
    // Grace was spent at the sources.
    this.#assembly = new SessionAssembly<Moment>(spec, 0, plan, momentBytes, (...session) => {
      this.#rows.write(...session)
      context.counters.windows++
    })
  }

  get urgent(): boolean {
    return this.#urgent
  }

  get watermarkMs(): number {
    return this.#assembly.settledMs
  }

  get bytes(): number {
    return this.#assembly.bytes
  }

  async restore(starts: ReadonlyMap<string, TaskStart>): Promise<ReadonlyMap<string, number>> {
    const { from, note, isLost, hasGap } = this.#input.resume(starts, this.id, this.#context)
    if (note !== undefined) this.#adopt(note)
    if (isLost) this.#lose(note?.eventTimeMs ?? Number.NEGATIVE_INFINITY)
    if (hasGap) this.#unheard = new Set(this.#partials.origins)
    return from
  }

  #adopt(note: CommitNote): void {
    this.#resumedMs = note.closedThroughMs
    this.#partials.progress.restore(note)
    this.#assembly.resume(note.replayMs ?? note.closedThroughMs)
    this.#idle = this.#partials.progress.allIdle
  }

  /** Sessions with records before `beforeMs` are incomplete. */
  #lose(beforeMs: number): void {
    this.#incompleteBeforeMs = Math.max(this.#incompleteBeforeMs, beforeMs)
    this.#assembly.lost(this.#incompleteBeforeMs)
  }

  async process(cursor: RecordCursor): Promise<void> {
    while (cursor.next()) {
      const live = cursor.offset >= this.#input.committed
      if (live && !this.#isLive) await this.#goLive()
      if (cursor.valueLength >= 0) this.#take(cursor, live)
      else await this.#hear(cursor)
    }
    this.#input.reach(cursor.nextOffset)
    if (this.#isLive) this.#tell()
  }

  /** The replay has ended, if not where the commit was (marks of the replay are gone), then there. */
  async #goLive(): Promise<void> {
    this.#isLive = true
    await this.#assembly.advance(this.#resumedMs)
    this.#toldMs = this.#assembly.emittedMs
    this.#idle = this.#partials.progress.allIdle
    this.#assembly.goLive()
  }

  async #hear(cursor: RecordCursor): Promise<void> {
    const mark = readMark(cursor)
    if (mark === undefined || !this.#partials.progress.update(mark)) return
    if (this.#isLive && this.#unheard.delete(mark.origin)) this.#lose(mark.watermarkMs)
    await this.#assembly.advance(this.#partials.progress.watermarkMs())
  }

  #take(cursor: RecordCursor, live: boolean): void {
    const { startMs, incomplete, entries } = this.#partials.read(cursor)
    if (startMs < this.#assembly.settledMs) {
      const reason = `partial aggregates of the slice at ${startMs} came after sessions had gone on without this source partition`
      if (live) this.#partials.tooLate(cursor, reason)
      return
    }
    if (this.#assembly.isNew(startMs)) this.#assembly.begin(startMs, cursor.offset, this.#moment())
    this.#assembly.slices.mergeBlock(startMs, incomplete, entries, cursor.offset)
  }

  #moment(): Moment {
    return { settledMs: this.#assembly.settledMs, ...this.#partials.progress.told() }
  }

  /** Tells how far it is, if that has changed. */
  #tell(): void {
    const emittedMs = this.#assembly.emittedMs
    const idle = this.#partials.progress.allIdle
    if (!(emittedMs > this.#toldMs) && idle === this.#idle) return
    this.#toldMs = emittedMs
    this.#idle = idle
    this.#rows.mark(emittedMs, idle)
    this.#urgent = true
  }

  tick(): void {}

  prepareCommit(): OffsetToCommit[] {
    this.#urgent = false
    if (!this.#input.isDue) return []
    const point = this.#assembly.replayPoint()
    const { settledMs, origins, idle } = point?.state ?? this.#moment()
    const note = {
      closedThroughMs: this.#assembly.settledMs,
      eventTimeMs: Math.max(this.#partials.progress.aheadMs(), this.#incompleteBeforeMs),
      replayFrom: point?.offset ?? this.#input.position,
      origins,
      idle,
      replayMs: settledMs,
    }
    return this.#input.commit(note, this.#assembly.opensBefore(this.#incompleteBeforeMs))
  }
}
