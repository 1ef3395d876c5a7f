import { Buffer } from 'node:buffer'
import type { OffsetToCommit, RecordCursor, TopicPartition } from '../ports/index.ts'
import { Account, writeLedger } from './account.ts'
import { emitDeadLetter, type Refusal } from './dead-letter.ts'
import { tooEarly, tooFarAhead, tooLarge, unreadable } from './refusals.ts'
import { END_OF_INPUT_MS, readMark } from './marks.ts'
import type { ColumnReader, RecordReader } from './record-readers.ts'
import type { Row, Verdict } from './row.ts'
import { SoleInput } from './sole-input.ts'
import type { Task, TaskContext, TaskStart } from './task.ts'
import type { SourceSpec, Topology } from './topology.ts'
import type { SourceSink } from './window-sink.ts'
import { createWindowSinks } from './window-sinks.ts'

/** Why the walk over a batch has stopped, beside ids of schemas. */
const DONE = -1
const CLOSES = -2
const FOLDS = -3

/**
 * Reads one partition of a source in place, keeps the open windows of all window nodes over it, and closes them as
 * event time passes. State is never written out: a restart replays the bounded stretch that open windows need.
 */
export class SourceTask implements Task {
  readonly id: string
  readonly inputs: readonly TopicPartition[]
  readonly #topology: Topology
  readonly #node: string
  readonly #spec: SourceSpec
  readonly #partition: number
  readonly #context: TaskContext
  readonly #input: SoleInput
  readonly #reader: RecordReader
  readonly #sinks: SourceSink[]
  readonly #row: { buffer: Row['buffer']; numbers: Float64Array; starts: Int32Array; ends: Int32Array }
  readonly #timeSlot: number
  #account = new Account(0)
  #eventTimeMs = Number.NEGATIVE_INFINITY
  /** Windows that begin before this lack input that retention has removed. */
  #lostBeforeMs = Number.NEGATIVE_INFINITY
  /** Records that nobody has seen are gone, too: the window in which the input goes on lacks its beginning. */
  #gap = false
  #progressed = false
  /** The smallest event time that closes a window. */
  #closesNextAtMs = Number.NEGATIVE_INFINITY
  #urgent = false
  #idle = false
  /** An earlier run may have said that this source is idle: what comes first takes that back. */
  #announced = false
  #lastRecordAtMs: number

  constructor(topology: Topology, node: string, partition: number, context: TaskContext) {
    const spec = topology.sources[node] as SourceSpec
    this.id = `${topology.name}/${node}/${partition}`
    this.#topology = topology
    this.#node = node
    this.#spec = spec
    this.#partition = partition
    this.#context = context
    this.#input = new SoleInput({ topic: context.topicName(spec.topic), partition })
    this.inputs = [this.#input.partition]
    this.#reader = context.readers.inPlace(spec.record, spec.fields)
    this.#sinks = createWindowSinks(topology, node, partition, context)
    this.#timeSlot = spec.fields.indexOf(spec.eventTime)
    this.#row = {
      buffer: EMPTY,
      numbers: new Float64Array(0),
      starts: new Int32Array(0),
      ends: new Int32Array(0),
    }
    this.#lastRecordAtMs = context.clock.nowMs()
  }

  get urgent(): boolean {
    return this.#urgent
  }

  get watermarkMs(): number {
    return this.#eventTimeMs
  }

  get bytes(): number {
    return this.#sinks.reduce((total, sink) => total + sink.store.bytes, 0)
  }

  async restore(starts: ReadonlyMap<string, TaskStart>): Promise<ReadonlyMap<string, number>> {
    const { from, note, isLost, hasGap } = this.#input.resume(starts, this.id, this.#context)
    this.#account = new Account(this.#input.committed)
    if (note !== undefined) {
      const { eventTimeMs, replayMs = eventTimeMs } = note
      this.#eventTimeMs = eventTimeMs
      for (const sink of this.#sinks) sink.resume(eventTimeMs, replayMs)
    }
    if (isLost) this.#lose(this.#eventTimeMs)
    this.#gap = hasGap
    return from
  }

  /** Windows that begin before `beforeMs` are incomplete. */
  #lose(beforeMs: number): void {
    this.#lostBeforeMs = beforeMs
    for (const sink of this.#sinks) sink.lostInput(beforeMs)
  }

  async process(cursor: RecordCursor): Promise<void> {
    this.#lastRecordAtMs = this.#context.clock.nowMs()
    for (let stop = this.#run(cursor, false); stop !== DONE; ) {
      if (stop === CLOSES) {
        // A window closes before the record that closes it is taken in, wherever batches begin and end.
        await this.#close(false)
        this.#take(cursor, this.#row)
        stop = this.#run(cursor, false)
      } else if (stop === FOLDS) {
        await this.#catchUp()
        this.#refill(cursor, this.#row)
        stop = this.#run(cursor, false)
      } else {
        await this.#reader.load(stop)
        stop = this.#run(cursor, true)
      }
    }
    for (const sink of this.#sinks) sink.store.flush()
    this.#input.reach(cursor.nextOffset)
    await this.#closeAtEnd()
  }

  /** Walks the batch up to DONE, CLOSES or FOLDS (before the present record is taken), or the id of a schema to fetch first. */
  #run(cursor: RecordCursor, again: boolean): number {
    let pending = again
    while (pending || cursor.next()) {
      pending = false
      const live = cursor.offset >= this.#input.committed
      const schema = this.#reader.missingSchema(cursor.buffer, cursor.valueStart, cursor.valueLength)
      if (schema >= 0) return schema
      if (!live) {
        if (this.#replay(cursor)) return FOLDS
      } else if (this.#live(cursor)) return CLOSES
    }
    return DONE
  }

  /** True if the record is to be taken once the windows that it closes have been emitted. */
  #live(cursor: RecordCursor): boolean {
    if (cursor.valueLength < 0 && this.#takeMark(cursor)) return false
    this.#context.counters.recordsIn++
    this.#account.records++
    const row = this.#decode(cursor)
    if ('code' in row) return this.#refuse(cursor, row)
    const verdict = this.#spec.check?.(row)
    if (verdict !== undefined) return this.#turnAway(cursor, verdict)
    const timeMs = row.numbers[this.#timeSlot] as number
    if (this.#gap) {
      this.#gap = false
      this.#lose(timeMs)
    }
    if (timeMs > this.#eventTimeMs) {
      this.#eventTimeMs = timeMs
      this.#progressed = true
      if (timeMs >= this.#closesNextAtMs) return true
    }
    this.#take(cursor, row)
    return false
  }

  #take(cursor: RecordCursor, row: Row): void {
    const timeMs = row.numbers[this.#timeSlot] as number
    let taken = false
    for (const sink of this.#sinks) taken = sink.add(timeMs, row, cursor.offset, this.#eventTimeMs) || taken
    if (taken || this.#sinks.length === 0) {
      this.#account.accepted++
      this.#context.counters.accepted++
    } else this.#late(cursor)
  }

  #turnAway(cursor: RecordCursor, verdict: Exclude<Verdict, undefined>): false {
    if ('invalid' in verdict) return this.#refuse(cursor, { code: 'RECORD_INVALID', reason: verdict.invalid })
    this.#account.skip(verdict.skip)
    this.#context.counters.skipped[verdict.skip] = (this.#context.counters.skipped[verdict.skip] ?? 0) + 1
    return false
  }

  /** Emits the windows that time has closed; every sink tells its progress if `announce`. */
  async #close(announce: boolean): Promise<void> {
    for (const sink of this.#sinks) if (await sink.advance(this.#eventTimeMs, announce)) this.#urgent = true
    this.#findNextClose()
  }

  #findNextClose(): void {
    this.#closesNextAtMs = Number.POSITIVE_INFINITY
    for (const sink of this.#sinks) this.#closesNextAtMs = Math.min(this.#closesNextAtMs, sink.closesNextAtMs)
  }

  /** True if the record is to be taken once the sinks that go through its time again have done so. */
  #replay(cursor: RecordCursor): boolean {
    if (cursor.valueLength < 0) return false
    this.#context.counters.replayed++
    const row = this.#decode(cursor)
    if ('code' in row || this.#spec.check?.(row) !== undefined) return false
    const timeMs = row.numbers[this.#timeSlot] as number
    for (const sink of this.#sinks) if (sink.isBehind(timeMs)) return true
    this.#refill(cursor, row)
    return false
  }

  #refill(cursor: RecordCursor, row: Row): void {
    const timeMs = row.numbers[this.#timeSlot] as number
    for (const sink of this.#sinks) sink.replay(timeMs, row, cursor.offset, this.#eventTimeMs)
  }

  async #catchUp(): Promise<void> {
    const timeMs = this.#row.numbers[this.#timeSlot] as number
    for (const sink of this.#sinks) await sink.catchUp(timeMs)
  }

  /** Decodes and checks what every record must fulfil; depends on the record alone. */
  #decode(cursor: RecordCursor): Row | Refusal {
    const { valueStart, valueLength } = cursor
    if (valueLength < 0) return { code: 'RECORD_UNDECODABLE', reason: 'the value is null' }
    if (valueLength > this.#spec.maxRecordBytes) return tooLarge(valueLength, this.#spec)
    const decoded = this.#reader.read(cursor.buffer, valueStart, valueLength)
    if (typeof decoded === 'string') return unreadable(decoded)
    const row = this.#point(cursor, decoded)
    const timeMs = row.numbers[this.#timeSlot] as number
    const { maxAheadMs, earliestMs } = this.#spec
    if (timeMs > cursor.timestampMs + maxAheadMs) return tooFarAhead(timeMs, cursor.timestampMs, this.#spec)
    if (!(timeMs >= earliestMs)) return tooEarly(timeMs, this.#spec)
    return row
  }

  #point(cursor: RecordCursor, columns: ColumnReader): Row {
    const row = this.#row
    if (row.buffer !== cursor.buffer) row.buffer = cursor.buffer
    if (row.numbers !== columns.numbers) {
      row.numbers = columns.numbers
      row.starts = columns.starts
      row.ends = columns.ends
    }
    return row
  }

  /** An end mark closes a bounded input: every window is flushed. */
  #takeMark(cursor: RecordCursor): boolean {
    const mark = readMark(cursor)
    if (mark === undefined) return false
    if (mark.watermarkMs >= END_OF_INPUT_MS) {
      this.#eventTimeMs = END_OF_INPUT_MS
      this.#progressed = true
    }
    return true
  }

  #refuse(cursor: RecordCursor, refusal: Refusal): false {
    this.#account.deadLetters++
    this.#context.counters.deadLetters++
    emitDeadLetter(this.#context, this.#topology.name, this.#spec, cursor, refusal, this.#spec.maxRecordBytes)
    return false
  }

  #late(cursor: RecordCursor): void {
    this.#account.late++
    this.#context.counters.late++
    const reason = 'came after its windows had closed'
    emitDeadLetter(
      this.#context,
      this.#topology.name,
      this.#spec,
      cursor,
      { code: 'RECORD_LATE', reason },
      this.#spec.maxRecordBytes,
    )
  }

  async #closeAtEnd(): Promise<void> {
    if (!this.#progressed && !this.#idle) return
    if (this.#input.isReplaying) return
    const woke = this.#idle || !this.#announced
    this.#progressed = false
    this.#idle = false
    this.#announced = true
    await this.#close(woke)
  }

  tick(nowMs: number, blindMs: number): void {
    this.#lastRecordAtMs = Math.min(nowMs, this.#lastRecordAtMs + blindMs)
    if (this.#idle || this.#input.isReplaying) return
    if (nowMs - this.#lastRecordAtMs < this.#spec.idleMs) return
    this.#idle = true
    this.#urgent = true
    // The marks go out with an offset, whose generation the broker checks: a member that was evicted must not speak.
    this.#input.touch()
    for (const sink of this.#sinks) sink.tellIdle()
  }

  prepareCommit(nowMs: number): OffsetToCommit[] {
    this.#urgent = false
    if (!this.#input.isDue) return []
    const { position } = this.#input
    const eventTimeMs = this.#eventTimeMs
    const replayMs = this.#sinks.reduce((ms, sink) => Math.min(ms, sink.replayMs(ms)), eventTimeMs)
    const note = {
      closedThroughMs: 0,
      eventTimeMs,
      replayFrom: this.#sinks.reduce((from, sink) => sink.store.replayFrom(from), position),
      origins: [],
      idle: [],
      ...(replayMs < eventTimeMs ? { replayMs } : {}),
    }
    if (position > this.#account.fromOffset) this.#writeLedger(nowMs)
    const isLacking = this.#sinks.some((sink) => sink.opensBefore(this.#lostBeforeMs))
    return this.#input.commit(note, isLacking)
  }

  #writeLedger(nowMs: number): void {
    const entry = this.#account.close({
      topology: this.#topology.name,
      node: this.#node,
      topic: this.#spec.topic,
      partition: this.#partition,
      to_offset: this.#input.position,
      watermark_ms: Number.isFinite(this.#eventTimeMs) ? this.#eventTimeMs : 0,
      at_ms: nowMs,
    })
    writeLedger(this.#context, this.id, entry)
  }
}

const EMPTY = Buffer.alloc(0)
