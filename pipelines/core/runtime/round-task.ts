import { Buffer } from 'node:buffer'
import type { OffsetToCommit, RecordCursor, TopicPartition } from '../ports/index.ts'
import { ForestallError, partitionKey } from '../ports/index.ts'
import { emitDeadLetter } from './dead-letter.ts'
import { END_OF_INPUT_MS, markHeaders, readMark } from './marks.ts'
import { partitionOf } from './partitioner.ts'
import type { RoundOutput, RoundProcessor } from './round.ts'
import { type InputPartition, RoundInputs } from './round-inputs.ts'
import { RoundRows } from './round-rows.ts'
import { encodeSnapshot, type Snapshot } from './snapshots.ts'
import type { Task, TaskContext, TaskStart } from './task.ts'
import { originOf, type RoundSpec, snapshotTopic, type Topology } from './topology.ts'

/** Where a round task finds the snapshot of its partition. */
export type SnapshotSource = (topic: string, partition: number) => Promise<Snapshot | undefined>

/**
 * Collects rows by time and lets a processor act once per time step, in order, when every writer of every input has
 * passed it. The state is snapshotted in the same transaction as the outputs; a restart restores the last snapshot
 * and replays the rounds since, emitting nothing for those whose output stands.
 */
export class RoundTask implements Task {
  readonly id: string
  readonly inputs: readonly TopicPartition[]
  readonly #topology: string
  readonly #node: string
  readonly #spec: RoundSpec
  readonly #partition: number
  readonly #context: TaskContext
  readonly #readSnapshot: SnapshotSource
  readonly #inputs: RoundInputs
  readonly #rows = new RoundRows()
  #processor: RoundProcessor
  /** Rounds up to this stand already: their outputs are dropped. */
  #emittedThroughMs = Number.NEGATIVE_INFINITY
  #doneThroughMs = Number.NEGATIVE_INFINITY
  #watermarkMs = Number.NEGATIVE_INFINITY
  #sinceSnapshot = 0
  #live = false
  #idle = false
  #urgent = false
  #dirty = false

  constructor(
    topology: Topology,
    node: string,
    partition: number,
    context: TaskContext,
    snapshots: SnapshotSource,
  ) {
    const spec = topology.rounds[node] as RoundSpec
    this.id = `${topology.name}/${node}/${partition}`
    this.#topology = topology.name
    this.#node = node
    this.#spec = spec
    this.#partition = partition
    this.#context = context
    this.#readSnapshot = snapshots
    this.#inputs = new RoundInputs(spec, partition, context)
    this.inputs = this.#inputs.all.map((input) => ({ topic: input.topic, partition: input.partition }))
    this.#processor = spec.create({ partition })
  }

  get urgent(): boolean {
    return this.#urgent
  }

  get watermarkMs(): number {
    return this.#watermarkMs
  }

  get bytes(): number {
    return this.#rows.bytes
  }

  get #snapshotTopic(): string {
    return this.#context.topicName(snapshotTopic(this.#topology, this.#node))
  }

  async restore(starts: ReadonlyMap<string, TaskStart>): Promise<ReadonlyMap<string, number>> {
    const snapshot = this.#usable(await this.#readSnapshot(this.#snapshotTopic, this.#partition))
    const { from, resumed, emittedThroughMs } = this.#inputs.restore(starts, snapshot, this.id, (error) =>
      this.#context.warn(error),
    )
    this.#emittedThroughMs = this.#watermarkMs = emittedThroughMs
    if (snapshot !== undefined) {
      if (resumed) this.#doneThroughMs = snapshot.roundMs
      else this.#processor = this.#spec.create({ partition: this.#partition })
    }
    // Nothing to replay: what stands outside is read now, not while the first round waits.
    if (!resumed) await this.#goLive()
    return from
  }

  /** Takes over the state of a snapshot; one of another version or other options is left out, and its rounds are replayed. */
  #usable(snapshot: Snapshot | undefined): Snapshot | undefined {
    if (snapshot === undefined) return undefined
    try {
      this.#processor.restore(snapshot.state)
      return snapshot
    } catch (cause) {
      this.#processor = this.#spec.create({ partition: this.#partition })
      const what = `The snapshot of ${this.id} does not fit this version or these options`
      this.#context.warn(
        new ForestallError('STATE_UNREADABLE', `${what}: ${(cause as Error).message}`, { cause }),
      )
      return undefined
    }
  }

  async process(cursor: RecordCursor): Promise<void> {
    const input = this.#inputs.of(cursor)
    if (input === undefined) throw new TypeError(`${this.id} does not read ${cursor.topic}`)
    while (cursor.next()) await this.#take(cursor, input)
    input.position = Math.max(input.position, cursor.nextOffset)
    this.#dirty = true
    await this.#advance()
  }

  async #take(cursor: RecordCursor, input: InputPartition): Promise<void> {
    const live = cursor.offset >= input.committed
    if (cursor.valueLength < 0) {
      const mark = readMark(cursor)
      if (mark !== undefined && live) input.progress.update(mark)
      return
    }
    const { counters } = this.#context
    const { buffer, valueStart, valueLength } = cursor
    const missing = input.reader.missingSchema(buffer, valueStart, valueLength)
    if (missing >= 0) await input.reader.load(missing)
    const row = input.reader.read(buffer, valueStart, valueLength)
    if (live) counters.recordsIn++
    else counters.replayed++
    if (typeof row === 'string') {
      if (live) this.#refuse(cursor, input, row)
      return
    }
    const timeMs = (row as Record<string, unknown>)[input.time] as number
    // A round that stands is over for what comes now, also while a restart has yet to replay it.
    const overMs = live ? Math.max(this.#doneThroughMs, this.#emittedThroughMs) : this.#doneThroughMs
    if (timeMs <= overMs) {
      if (live) counters.late++
      return
    }
    this.#rows.add(timeMs, input, cursor.offset, row, valueLength)
    if (live) counters.accepted++
  }

  #refuse(cursor: RecordCursor, input: InputPartition, reason: string): void {
    this.#context.counters.deadLetters++
    const refusal = { code: 'RECORD_UNDECODABLE', reason } as const
    const { logicalTopic: topic } = input
    emitDeadLetter(this.#context, this.#topology, { topic }, cursor, refusal, MAX_DEAD_LETTER_BYTES)
  }

  async #advance(): Promise<void> {
    if (this.#inputs.replaying) return
    const { watermarkMs, idle } = this.#inputs.watermark(this.#watermarkMs)
    for (const timeMs of this.#rows.due(Math.max(watermarkMs, this.#emittedThroughMs)))
      await this.#runRound(timeMs)
    if (watermarkMs > this.#watermarkMs || idle !== this.#idle) {
      this.#watermarkMs = Math.max(this.#watermarkMs, watermarkMs)
      this.#idle = idle
      this.#emitMarks(this.#watermarkMs, idle)
      this.#urgent = true
    }
  }

  async #goLive(): Promise<void> {
    if (this.#live) return
    this.#live = true
    await this.#processor.live?.()
  }

  async #runRound(timeMs: number): Promise<void> {
    const replayed = timeMs <= this.#emittedThroughMs
    if (!replayed) await this.#goLive()
    const round = this.#rows.take(timeMs, this.#inputs.all, replayed)
    await this.#processor.onRound(round, replayed ? SILENT : this.#output(timeMs))
    this.#doneThroughMs = timeMs
    if (replayed) return
    this.#context.counters.rounds++
    this.#sinceSnapshot++
    this.#urgent = true
  }

  #output(timeMs: number): RoundOutput {
    const context = this.#context
    return {
      emit: (output, key, value) => {
        const spec = this.#spec.outputs[output]
        if (spec === undefined)
          throw new ForestallError('TOPOLOGY_INVALID', `${this.id} has no output '${output}'`)
        const keyBytes = Buffer.from(key)
        const bytes = value === null ? null : context.encoder.encode(spec.topic, spec.record, value)
        const partition = partitionOf(keyBytes, context.partitionsOf(spec.topic))
        const atMs = Math.min(timeMs, END_OF_INPUT_MS)
        context.out.emit(context.topicName(spec.topic), partition, atMs, keyBytes, bytes)
        const { roundsOut } = context.counters
        roundsOut[spec.topic] = (roundsOut[spec.topic] ?? 0) + 1
      },
    }
  }

  #emitMarks(watermarkMs: number, idle: boolean): void {
    const context = this.#context
    const origin = originOf(`${this.#topology}/${this.#node}`, this.#partition)
    const headers = markHeaders({ origin, watermarkMs, idle })
    for (const { topic, marked } of Object.values(this.#spec.outputs)) {
      if (!marked) continue
      for (let p = 0; p < context.partitionsOf(topic); p++)
        context.out.emit(context.topicName(topic), p, context.clock.nowMs(), null, null, headers)
    }
  }

  tick(): void {}

  prepareCommit(): OffsetToCommit[] {
    this.#urgent = false
    if (!this.#dirty || this.#inputs.replaying) return []
    this.#dirty = false
    if (this.#sinceSnapshot >= this.#spec.snapshotEvery) this.#writeSnapshot()
    const closedThroughMs = Math.max(this.#doneThroughMs, this.#emittedThroughMs)
    return this.#inputs.offsets(closedThroughMs, (input) => this.#rows.replayFrom(input))
  }

  #writeSnapshot(): void {
    this.#sinceSnapshot = 0
    const replayFrom = new Map(
      this.#inputs.all.map((input) => [
        partitionKey(input.topic, input.partition),
        this.#rows.replayFrom(input),
      ]),
    )
    const snapshot = { roundMs: this.#doneThroughMs, replayFrom, state: this.#processor.snapshot() }
    const { out, clock } = this.#context
    for (const { key, value } of encodeSnapshot(this.#partition, snapshot))
      out.emit(this.#snapshotTopic, this.#partition, clock.nowMs(), key, value)
  }
}

const MAX_DEAD_LETTER_BYTES = 1 << 20
const SILENT: RoundOutput = { emit: () => undefined }
