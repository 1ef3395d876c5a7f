import { ByteReader } from '../math/index.ts'
import type { OffsetToCommit, RecordCursor, TopicPartition } from '../ports/index.ts'
import { partitionKey } from '../ports/index.ts'
import { emitDeadLetter } from './dead-letter.ts'
import { OriginProgress, readMark } from './marks.ts'
import { type CommitNote, decodeNote, encodeNote } from './notes.ts'
import { SessionAssembly } from './session-assembly.ts'
import { slicePlan } from './session-shape.ts'
import { lostInput, type Task, type TaskContext, type TaskStart } from './task.ts'
import { originsOf, type SessionWindowSpec, type SourceSpec, type Topology } from './topology.ts'
import { partialNode, type RowWriter, rowWriter } from './window-sink.ts'

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
  readonly #topology: string
  readonly #source: SourceSpec
  readonly #spec: SessionWindowSpec
  readonly #context: TaskContext
  readonly #assembly: SessionAssembly<Moment>
  readonly #origins: readonly string[]
  readonly #progress: OriginProgress
  readonly #rows: RowWriter
  #position = 0
  #committed = 0
  /** What had been settled at the commit; and of the origins, the largest watermark. */
  #resumedMs = Number.NEGATIVE_INFINITY
  #incompleteBeforeMs = Number.NEGATIVE_INFINITY
  /** Where the replay of open sessions should have begun, if retention had not removed it. */
  #lostFrom = Number.POSITIVE_INFINITY
  /** Blocks that nobody has read are gone, too: of which slices, the next mark of each of these origins tells. */
  #unheard = new Set<string>()
  #isLive = false
  #toldMs = Number.NEGATIVE_INFINITY
  #idle = false
  #urgent = false
  #dirty = false

  constructor(topology: Topology, window: string, partition: number, context: TaskContext) {
    const spec = topology.windows[window] as SessionWindowSpec
    this.id = `${topology.name}/${window}:merge/${partition}`
    this.#topology = topology.name
    this.#spec = spec
    this.#context = context
    this.inputs = [{ topic: context.topicName(spec.merge?.topic ?? ''), partition }]
    this.#source = topology.sources[spec.from] as SourceSpec
    const node = partialNode(topology.name, window)
    const writer = { node, partitionsOf: this.#source.topic, aligned: false }
    this.#origins = originsOf([writer], partition, (topic) => context.partitionsOf(topic))
    this.#progress = new OriginProgress(this.#origins)
    this.#rows = rowWriter(topology, window, partition, context)
    // Grace was spent at the sources.
    const plan = slicePlan(spec.aggregates, this.#source.fields.indexOf(this.#source.eventTime))
    const momentBytes = this.#origins.length * ORIGIN_BYTES
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
    const input = this.inputs[0] as TopicPartition
    const key = partitionKey(input.topic, input.partition)
    const { committed, earliest } = starts.get(key) as TaskStart
    this.#committed = committed.offset < 0 ? earliest : committed.offset
    this.#position = this.#committed
    const note = committed.offset < 0 ? undefined : decodeNote(committed.metadata)
    if (note !== undefined) this.#adopt(note)
    const from = note?.replayFrom ?? this.#committed
    if (from >= earliest) return new Map([[key, from]])
    this.#lostFrom = from
    this.#lose(note?.eventTimeMs ?? Number.NEGATIVE_INFINITY)
    if (earliest > this.#committed) this.#unheard = new Set(this.#origins)
    this.#context.warn(lostInput(this.id, input, from, earliest))
    return new Map([[key, earliest]])
  }

  #adopt(note: CommitNote): void {
    this.#resumedMs = note.closedThroughMs
    this.#progress.restore(note)
    this.#assembly.resume(note.replayMs ?? note.closedThroughMs)
    this.#idle = this.#progress.allIdle
  }

  /** Sessions with records before `beforeMs` are incomplete. */
  #lose(beforeMs: number): void {
    this.#incompleteBeforeMs = Math.max(this.#incompleteBeforeMs, beforeMs)
    this.#assembly.lost(this.#incompleteBeforeMs)
  }

  async process(cursor: RecordCursor): Promise<void> {
    while (cursor.next()) {
      const live = cursor.offset >= this.#committed
      if (live && !this.#isLive) await this.#goLive()
      if (cursor.valueLength >= 0) this.#take(cursor, live)
      else await this.#hear(cursor)
    }
    this.#position = Math.max(this.#position, cursor.nextOffset)
    this.#dirty = true
    if (this.#isLive) this.#tell()
  }

  /** The replay has ended, if not where the commit was (marks of the replay are gone), then there. */
  async #goLive(): Promise<void> {
    this.#isLive = true
    await this.#assembly.advance(this.#resumedMs)
    this.#toldMs = this.#assembly.emittedMs
    this.#idle = this.#progress.allIdle
    this.#assembly.goLive()
  }

  async #hear(cursor: RecordCursor): Promise<void> {
    const mark = readMark(cursor)
    if (mark === undefined || !this.#progress.update(mark)) return
    if (this.#isLive && this.#unheard.delete(mark.origin)) this.#lose(mark.watermarkMs)
    await this.#assembly.advance(this.#progress.watermarkMs())
  }

  #take(cursor: RecordCursor, live: boolean): void {
    this.#context.merged(cursor.valueLength)
    const reader = new ByteReader(cursor.buffer, cursor.valueStart, cursor.valueStart + cursor.valueLength)
    reader.u8()
    const incomplete = reader.u8() === 1
    const startMs = reader.varint()
    if (startMs < this.#assembly.settledMs) {
      if (live) this.#tooLate(cursor, startMs)
      return
    }
    if (this.#assembly.isNew(startMs)) this.#assembly.begin(startMs, cursor.offset, this.#moment())
    this.#assembly.slices.mergeBlock(startMs, incomplete, reader, cursor.offset)
  }

  #moment(): Moment {
    return {
      settledMs: this.#assembly.settledMs,
      origins: [...this.#progress.watermarks],
      idle: [...this.#progress.idle].map((flag) => flag === 1),
    }
  }

  /** Only a source partition that was idle and speaks again can be this late: its block is kept as a dead letter. */
  #tooLate(cursor: RecordCursor, startMs: number): void {
    this.#context.counters.late++
    const reason = `partial aggregates of the slice at ${startMs} came after sessions had gone on without this source partition`
    const refusal = { code: 'RECORD_LATE', reason } as const
    const from = { topic: this.#spec.merge?.topic ?? '', letters: this.#source.topic }
    emitDeadLetter(this.#context, this.#topology, from, cursor, refusal, cursor.valueLength)
  }

  /** Tells how far it is, if that has changed. */
  #tell(): void {
    const emittedMs = this.#assembly.emittedMs
    const idle = this.#progress.allIdle
    if (!(emittedMs > this.#toldMs) && idle === this.#idle) return
    this.#toldMs = emittedMs
    this.#idle = idle
    this.#rows.mark(emittedMs, idle)
    this.#urgent = true
  }

  tick(): void {}

  prepareCommit(): OffsetToCommit[] {
    this.#urgent = false
    if (!this.#dirty || this.#position < this.#committed) return []
    this.#dirty = false
    const point = this.#assembly.replayPoint()
    const { settledMs, origins, idle } = point?.state ?? this.#moment()
    const held = point?.offset ?? this.#position
    // As long as an incomplete session is open, the next restart must find the same loss.
    const lacking = this.#assembly.opensBefore(this.#incompleteBeforeMs)
    const note = encodeNote({
      closedThroughMs: this.#assembly.settledMs,
      eventTimeMs: Math.max(this.#progress.aheadMs(), this.#incompleteBeforeMs),
      replayFrom: lacking ? Math.min(held, this.#lostFrom) : held,
      origins,
      idle,
      replayMs: settledMs,
    })
    return [{ ...(this.inputs[0] as TopicPartition), offset: this.#position, metadata: note }]
  }
}
