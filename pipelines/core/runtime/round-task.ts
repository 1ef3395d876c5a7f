import { Buffer } from 'node:buffer'
import type { DecisionInput } from '../../../schemas/index.ts'
import type { OffsetToCommit, RecordCursor, TopicPartition } from '../ports/index.ts'
import { ForestallError, partitionKey } from '../ports/index.ts'
import { END_OF_INPUT_MS, markHeaders, OriginProgress, readMark } from './marks.ts'
import { emitDeadLetter } from './dead-letter.ts'
import { decodeNote, encodeNote } from './notes.ts'
import { partitionOf } from './partitioner.ts'
import type { RecordReader } from './record-readers.ts'
import type { Round, RoundOutput, RoundProcessor } from './round.ts'
import { encodeSnapshot, type Snapshot } from './snapshots.ts'
import { lostInput, type Task, type TaskContext, type TaskStart } from './task.ts'
import {
  originOf,
  originsOf,
  type RoundInput,
  type RoundSpec,
  snapshotTopic,
  type Topology,
} from './topology.ts'

interface Input {
  readonly name: string
  readonly partition: number
  /** Name on the broker. */
  readonly topic: string
  /** Name in the topology. */
  readonly logicalTopic: string
  readonly time: string
  readonly reader: RecordReader<object>
  readonly progress: OriginProgress
  position: number
  committed: number
}

interface Pending {
  readonly input: Input
  readonly offset: number
  readonly row: object
}

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
  /** By `partitionKey`. */
  readonly #inputs = new Map<string, Input>()
  readonly #pending = new Map<number, Pending[]>()
  readonly #processor: RoundProcessor
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
    for (const [name, input] of Object.entries(spec.inputs)) {
      const all = Array.from({ length: context.partitionsOf(input.topic) }, (_, p) => p)
      for (const p of spec.scope === 'all' ? all : [partition]) this.#addInput(name, input, p)
    }
    this.inputs = [...this.#inputs.values()].map((input) => ({
      topic: input.topic,
      partition: input.partition,
    }))
    this.#processor = spec.create({ partition })
  }

  #addInput(name: string, input: RoundInput, partition: number): void {
    const context = this.#context
    const topic = context.topicName(input.topic)
    const origins = originsOf(input.writers, partition, (t) => context.partitionsOf(t))
    this.#inputs.set(partitionKey(topic, partition), {
      name,
      partition,
      topic,
      logicalTopic: input.topic,
      time: input.time,
      reader: context.readers.objects(input.record),
      progress: new OriginProgress(origins),
      position: 0,
      committed: 0,
    })
  }

  get urgent(): boolean {
    return this.#urgent
  }

  get watermarkMs(): number {
    return this.#watermarkMs
  }

  get bytes(): number {
    return 0
  }

  async restore(starts: ReadonlyMap<string, TaskStart>): Promise<ReadonlyMap<string, number>> {
    const from = new Map<string, number>()
    const snapshot = await this.#readSnapshot(
      this.#context.topicName(snapshotTopic(this.#topology, this.#node)),
      this.#partition,
    )
    let resumed = false
    for (const input of this.#inputs.values()) {
      const key = partitionKey(input.topic, input.partition)
      const { committed, earliest } = starts.get(key) as TaskStart
      const note = decodeNote(committed.metadata)
      input.committed = committed.offset < 0 ? earliest : committed.offset
      let start = note === undefined || committed.offset < 0 ? input.committed : note.replayFrom
      if (note !== undefined && committed.offset >= 0) {
        resumed = true
        this.#emittedThroughMs = Math.max(this.#emittedThroughMs, note.closedThroughMs)
        input.progress.restore(note)
        // Without a snapshot the state begins with the log: the rounds since its start are replayed.
        start = Math.min(start, snapshot?.replayFrom.get(key) ?? earliest)
      }
      if (start < earliest) {
        this.#context.warn(
          lostInput(this.id, { topic: input.topic, partition: input.partition }, start, earliest),
        )
        start = earliest
      }
      input.position = start
      from.set(key, start)
    }
    if (resumed && snapshot !== undefined) {
      this.#processor.restore(snapshot.state)
      this.#doneThroughMs = snapshot.roundMs
    }
    this.#watermarkMs = this.#emittedThroughMs
    // Nothing to replay: what stands outside is read now, not while the first round waits.
    if (!resumed) await this.#goLive()
    return from
  }

  async process(cursor: RecordCursor): Promise<void> {
    const input = this.#inputs.get(partitionKey(cursor.topic, cursor.partition))
    if (input === undefined) throw new TypeError(`${this.id} does not read ${cursor.topic}`)
    while (cursor.next()) await this.#take(cursor, input)
    input.position = Math.max(input.position, cursor.nextOffset)
    this.#dirty = true
    await this.#advance()
  }

  async #take(cursor: RecordCursor, input: Input): Promise<void> {
    const live = cursor.offset >= input.committed
    if (cursor.valueLength < 0) {
      const mark = readMark(cursor)
      if (mark !== undefined && live) input.progress.update(mark)
      return
    }
    const { buffer, valueStart, valueLength } = cursor
    const missing = input.reader.missingSchema(buffer, valueStart, valueLength)
    if (missing >= 0) await input.reader.load(missing)
    const row = input.reader.read(buffer, valueStart, valueLength)
    if (live) this.#context.counters.recordsIn++
    else this.#context.counters.replayed++
    if (typeof row === 'string') {
      if (live) this.#refuse(cursor, input, row)
      return
    }
    const timeMs = (row as Record<string, unknown>)[input.time] as number
    // A round that stands is over for what comes now, also while a restart has yet to replay it.
    const overMs = live ? Math.max(this.#doneThroughMs, this.#emittedThroughMs) : this.#doneThroughMs
    if (timeMs <= overMs) {
      if (live) this.#context.counters.late++
      return
    }
    let rows = this.#pending.get(timeMs)
    if (rows === undefined) this.#pending.set(timeMs, (rows = []))
    rows.push({ input, offset: cursor.offset, row })
    if (live) this.#context.counters.accepted++
  }

  #refuse(cursor: RecordCursor, input: Input, reason: string): void {
    this.#context.counters.deadLetters++
    const refusal = { code: 'RECORD_UNDECODABLE', reason } as const
    const { logicalTopic: topic } = input
    emitDeadLetter(this.#context, this.#topology, { topic }, cursor, refusal, MAX_DEAD_LETTER_BYTES)
  }

  /** Rounds run once all inputs have reached what was committed: before, rows of a round may still be missing. */
  async #advance(): Promise<void> {
    for (const input of this.#inputs.values()) if (input.position < input.committed) return
    const speaking = [...this.#inputs.values()].filter((input) => !input.progress.allIdle)
    const idle = speaking.length === 0
    let watermarkMs = idle ? this.#watermarkMs : Number.POSITIVE_INFINITY
    for (const input of speaking) watermarkMs = Math.min(watermarkMs, input.progress.watermarkMs())
    const throughMs = Math.max(watermarkMs, this.#emittedThroughMs)
    const due = [...this.#pending.keys()].filter((t) => t <= throughMs).sort((a, b) => a - b)
    for (const timeMs of due) await this.#runRound(timeMs)
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
    const pending = this.#pending.get(timeMs) as Pending[]
    this.#pending.delete(timeMs)
    await this.#processor.onRound(
      this.#round(timeMs, pending, replayed),
      replayed ? SILENT : this.#output(timeMs),
    )
    this.#doneThroughMs = timeMs
    if (replayed) return
    this.#context.counters.rounds++
    this.#sinceSnapshot++
    this.#urgent = true
  }

  #round(timeMs: number, pending: readonly Pending[], replayed: boolean): Round {
    const rows: Record<string, unknown[]> = {}
    const inputs: DecisionInput[] = []
    for (const input of this.#inputs.values()) {
      const own = pending.filter((p) => p.input === input).sort((a, b) => a.offset - b.offset)
      rows[input.name] = [...(rows[input.name] ?? []), ...own.map((p) => p.row)]
      const last = own.at(-1)
      if (last !== undefined)
        inputs.push({ topic: input.topic, partition: input.partition, offset: last.offset })
    }
    return { timeMs, rows, inputs, replayed }
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
        context.out.emit(
          context.topicName(spec.topic),
          partition,
          Math.min(timeMs, END_OF_INPUT_MS),
          keyBytes,
          bytes,
        )
      },
    }
  }

  #emitMarks(watermarkMs: number, idle: boolean): void {
    const origin = originOf(`${this.#topology}/${this.#node}`, this.#partition)
    const headers = markHeaders({ origin, watermarkMs, idle })
    for (const { topic, marked } of Object.values(this.#spec.outputs)) {
      if (!marked) continue
      for (let p = 0; p < this.#context.partitionsOf(topic); p++) {
        this.#context.out.emit(
          this.#context.topicName(topic),
          p,
          this.#context.clock.nowMs(),
          null,
          null,
          headers,
        )
      }
    }
  }

  tick(): void {}

  prepareCommit(): OffsetToCommit[] {
    this.#urgent = false
    const behind = [...this.#inputs.values()].some((input) => input.position < input.committed)
    if (!this.#dirty || behind) return []
    this.#dirty = false
    if (this.#sinceSnapshot >= this.#spec.snapshotEvery) this.#writeSnapshot()
    return [...this.#inputs.values()].map((input) => ({
      topic: input.topic,
      partition: input.partition,
      offset: input.position,
      metadata: encodeNote({
        closedThroughMs: Math.max(this.#doneThroughMs, this.#emittedThroughMs),
        eventTimeMs: Number.NEGATIVE_INFINITY,
        replayFrom: this.#replayFrom(input),
        origins: [...input.progress.watermarks],
        idle: [...input.progress.idle].map((flag) => flag === 1),
      }),
    }))
  }

  #replayFrom(input: Input): number {
    let from = input.position
    for (const rows of this.#pending.values()) {
      for (const p of rows) if (p.input === input && p.offset < from) from = p.offset
    }
    return from
  }

  #writeSnapshot(): void {
    this.#sinceSnapshot = 0
    const replayFrom = new Map(
      [...this.#inputs.values()].map((input) => [
        partitionKey(input.topic, input.partition),
        this.#replayFrom(input),
      ]),
    )
    const snapshot = { roundMs: this.#doneThroughMs, replayFrom, state: this.#processor.snapshot() }
    const topic = this.#context.topicName(snapshotTopic(this.#topology, this.#node))
    for (const { key, value } of encodeSnapshot(this.#partition, snapshot)) {
      this.#context.out.emit(topic, this.#partition, this.#context.clock.nowMs(), key, value)
    }
  }
}

const MAX_DEAD_LETTER_BYTES = 1 << 20
const SILENT: RoundOutput = { emit: () => undefined }
