import type { OffsetToCommit, TopicPartition } from '../ports/index.ts'
import { partitionKey } from '../ports/index.ts'
import { type CommitNote, decodeNote, encodeNote } from './notes.ts'
import { lostInput, type TaskContext, type TaskStart } from './task.ts'

/** What a task finds at its only input after an assignment. */
export interface Resumption {
  /** Where to read from, by `partitionKey`. */
  readonly from: ReadonlyMap<string, number>
  /** Undefined: nothing was ever committed. */
  readonly note: CommitNote | undefined
  /** Retention has removed what the replay of open windows needs. */
  readonly isLost: boolean
  /** It has removed records that nobody has read, too. */
  readonly hasGap: boolean
}

/** Offset up to which earlier runs have acted at an input, and what they noted. */
export const committedAt = ({ committed, earliest }: TaskStart) =>
  committed.offset < 0
    ? { committed: earliest, note: undefined }
    : { committed: committed.offset, note: decodeNote(committed.metadata) }

/** The partition that a task reads where it is the only one: how far the task is, and what it has committed. */
export class SoleInput {
  readonly partition: TopicPartition
  #committed = 0
  #position = 0
  /** Where the replay of open windows should have begun, if retention had not removed it. */
  #lostFrom = Number.POSITIVE_INFINITY
  #dirty = false

  constructor(partition: TopicPartition) {
    this.partition = partition
  }

  /** Below this offset the task replays: an earlier run has acted on these records. */
  get committed(): number {
    return this.#committed
  }

  /** Offset of what is read next. */
  get position(): number {
    return this.#position
  }

  get isReplaying(): boolean {
    return this.#position < this.#committed
  }

  /** True if there is something to commit. */
  get isDue(): boolean {
    return this.#dirty && !this.isReplaying
  }

  /** Takes up what was committed; warns of what is lost. */
  resume(starts: ReadonlyMap<string, TaskStart>, task: string, context: TaskContext): Resumption {
    const key = partitionKey(this.partition.topic, this.partition.partition)
    const start = starts.get(key) as TaskStart
    const { earliest } = start
    const { committed, note } = committedAt(start)
    this.#committed = this.#position = committed
    const wanted = note?.replayFrom ?? committed
    const isLost = wanted < earliest
    if (isLost) {
      this.#lostFrom = wanted
      context.warn(lostInput(task, this.partition, wanted, earliest))
    }
    const from = new Map([[key, Math.max(wanted, earliest)]])
    return { from, note, isLost, hasGap: committed < earliest }
  }

  /** Everything below this offset has been read. */
  reach(offset: number): void {
    this.#position = Math.max(this.#position, offset)
    this.#dirty = true
  }

  /** Makes a commit due, though nothing has been read. */
  touch(): void {
    this.#dirty = true
  }

  /** What to commit. `isLacking`: an incomplete window is open, and the next restart must find the same loss. */
  commit(note: CommitNote, isLacking: boolean): OffsetToCommit[] {
    this.#dirty = false
    const replayFrom = isLacking ? Math.min(note.replayFrom, this.#lostFrom) : note.replayFrom
    const metadata = encodeNote({ ...note, replayFrom })
    return [{ ...this.partition, offset: this.#position, metadata }]
  }
}
