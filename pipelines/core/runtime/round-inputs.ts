import type { OffsetToCommit, TopicPartition } from '../ports/index.ts'
import { partitionKey } from '../ports/index.ts'
import { OriginProgress } from './marks.ts'
import { encodeNote } from './notes.ts'
import type { RecordReader } from './record-readers.ts'
import type { Snapshot } from './snapshots.ts'
import { committedAt } from './sole-input.ts'
import { lostInput, type TaskContext, type TaskStart } from './task.ts'
import { originsOf, type RoundInput, type RoundSpec } from './topology.ts'

/** One input partition of a round node. */
export interface InputPartition {
  /** Of the input, in the topology. */
  readonly name: string
  readonly partition: number
  /** Name on the broker. */
  readonly topic: string
  /** Name in the topology. */
  readonly logicalTopic: string
  /** The field that says which round a row belongs to. */
  readonly time: string
  readonly reader: RecordReader<object>
  readonly progress: OriginProgress
  position: number
  /** Below this offset the task replays. */
  committed: number
}

/** Where a restored task begins. */
export interface RoundStart {
  readonly from: ReadonlyMap<string, number>
  /** False: nothing was ever committed. */
  readonly resumed: boolean
  /** Rounds up to this stand already. */
  readonly emittedThroughMs: number
}

/** All that a round task reads: partition p of every input, or (`scope: 'all'`) every partition. */
export class RoundInputs {
  /** By `partitionKey`. */
  readonly #inputs = new Map<string, InputPartition>()

  constructor(spec: RoundSpec, partition: number, context: TaskContext) {
    for (const [name, input] of Object.entries(spec.inputs)) {
      const all = Array.from({ length: context.partitionsOf(input.topic) }, (_, p) => p)
      for (const p of spec.scope === 'all' ? all : [partition]) this.#add(name, input, p, context)
    }
  }

  #add(name: string, input: RoundInput, partition: number, context: TaskContext): void {
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

  /** In the order of the topology. */
  get all(): readonly InputPartition[] {
    return [...this.#inputs.values()]
  }

  of({ topic, partition }: TopicPartition): InputPartition | undefined {
    return this.#inputs.get(partitionKey(topic, partition))
  }

  /** Takes up what was committed; `snapshot` is what the state begins with. */
  restore(
    starts: ReadonlyMap<string, TaskStart>,
    snapshot: Snapshot | undefined,
    task: string,
    warn: (error: Error) => void,
  ): RoundStart {
    const from = new Map<string, number>()
    let resumed = false
    let emittedThroughMs = Number.NEGATIVE_INFINITY
    for (const [key, input] of this.#inputs) {
      const found = starts.get(key) as TaskStart
      const { earliest } = found
      const { committed, note } = committedAt(found)
      input.committed = committed
      let start = note?.replayFrom ?? committed
      if (note !== undefined) {
        resumed = true
        emittedThroughMs = Math.max(emittedThroughMs, note.closedThroughMs)
        input.progress.restore(note)
        // Without a snapshot the state begins with the log: the rounds since its start are replayed.
        start = Math.min(start, snapshot?.replayFrom.get(key) ?? earliest)
      }
      if (start < earliest) {
        const { topic, partition } = input
        warn(lostInput(task, { topic, partition }, start, earliest))
        start = earliest
      }
      input.position = start
      from.set(key, start)
    }
    return { from, resumed, emittedThroughMs }
  }

  /** True until all inputs have reached what was committed: before, rows of a round may still be missing. */
  get replaying(): boolean {
    return this.all.some((input) => input.position < input.committed)
  }

  /** Event time that every writer which speaks has passed; `idle` if none does: then `presentMs`. */
  watermark(presentMs: number): { readonly watermarkMs: number; readonly idle: boolean } {
    const speaking = this.all.filter((input) => !input.progress.allIdle)
    if (speaking.length === 0) return { watermarkMs: presentMs, idle: true }
    return { watermarkMs: Math.min(...speaking.map((input) => input.progress.watermarkMs())), idle: false }
  }

  /** What to commit: positions, each with its note. */
  offsets(closedThroughMs: number, replayFrom: (input: InputPartition) => number): OffsetToCommit[] {
    return this.all.map((input) => ({
      topic: input.topic,
      partition: input.partition,
      offset: input.position,
      metadata: encodeNote({
        closedThroughMs,
        eventTimeMs: Number.NEGATIVE_INFINITY,
        replayFrom: replayFrom(input),
        ...input.progress.told(),
      }),
    }))
  }
}
