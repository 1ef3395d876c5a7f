import type { Broker, Clock } from '../ports/index.ts'
import type { Counters } from './counters.ts'
import { GroupWorker } from './group-worker.ts'
import type { RecordReaders } from './record-readers.ts'
import type { RecordEncoder } from './task.ts'
import type { Topology } from './topology.ts'

/** Settings of a worker; every time in ms. */
export interface WorkerOptions {
  readonly topology: Topology
  readonly broker: Broker
  readonly encoder: RecordEncoder
  readonly readers: RecordReaders
  readonly clock: Clock
  /** Stable name of this worker among those of the topology: names its transactional id and static group membership. */
  readonly slot: string
  /** Prefix of all topics and of the group: '' live, `replay-...` for replays. */
  readonly prefix?: string
  /** Longest time between commits while there is something to commit. Default 100. */
  readonly commitIntervalMs?: number
  /** Commit early when this much output is waiting, and read no more while it cannot be committed. Default 16 MiB. */
  readonly maxPendingBytes?: number
  /** Bound of the window state of all tasks, bytes; reading pauses at it (STATE_TOO_LARGE). Default 1 GiB. */
  readonly maxStateBytes?: number
  /** Most that is fetched ahead, bytes; as much again may be under way from each broker. Default 32 MiB. */
  readonly maxFetchBytes?: number
  readonly sessionTimeoutMs?: number
  /** The worker cannot go on. */
  onFatal(error: Error): void
  /** Something operators must hear of, but the worker goes on. */
  onWarning?(error: Error): void
}

/** Runs the tasks of one topology that the group assigns to this member. */
export interface Worker {
  start(): Promise<void>
  /** Commits what is done, leaves the group and closes. Safe to call twice. */
  stop(): Promise<void>
  readonly counters: Counters
  /** The tasks it holds now, and the event time up to which what each has done stands in Kafka. */
  tasks(): { readonly id: string; readonly watermarkMs: number }[]
  /** Bytes of window state held. */
  bytes(): number
}

/** Makes an inert worker. Exactly once: outputs and input offsets commit in one transaction under the generation of the assignment. */
export function createWorker(options: WorkerOptions): Worker {
  return new GroupWorker(options)
}
