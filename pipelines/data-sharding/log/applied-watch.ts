import type { AppliedState, ReplicaStore } from '#core/ports'
import type { AppliedReader } from './applier.ts'
import { type LogLayout, partitionOfSegment } from './blocks.ts'
import { createWaiters } from './waiters.ts'

/** What another process has applied at a replica, read from what it stores there. */
export interface AppliedWatch extends AppliedReader {
  /** Resolves once the state has been read for the first time. */
  start(): Promise<void>
  stop(): Promise<void>
}

/** Settings of a watch. */
export interface AppliedWatchOptions {
  readonly instance: string
  readonly store: Pick<ReplicaStore, 'loadApplied'>
  readonly topic: string
  readonly layout: LogLayout
  /** How often it looks, ms. Default 100. */
  readonly everyMs?: number
  readonly onWarning?: (error: Error) => void
}

/** A watch; what it says is late by up to the applier's saving interval and its own. */
export function createAppliedWatch(options: AppliedWatchOptions): AppliedWatch {
  const { store, topic, layout, everyMs = 100, onWarning = () => {} } = options
  const waiters = createWaiters()
  let states = new Map<number, AppliedState>()
  let timer: NodeJS.Timeout | null = null
  let isStopped = false

  const next = (partition: number): number => states.get(partition)?.next ?? 0
  function nextOf(segment: number): number {
    const state = states.get(partitionOfSegment(segment, layout.partitions))
    if (state === undefined) return -1
    if (state.segments.includes(segment)) return state.next
    return state.joining.find((j) => j.segment === segment)?.next ?? -1
  }

  async function look(): Promise<void> {
    try {
      states = new Map((await store.loadApplied(topic)).map((state) => [state.partition, state]))
      waiters.check()
    } catch (error) {
      onWarning(error instanceof Error ? error : new Error(String(error)))
    }
    if (!isStopped) timer = setTimeout(() => void look(), everyMs).unref()
  }

  return {
    start: look,
    async stop() {
      isStopped = true
      if (timer !== null) clearTimeout(timer)
    },
    next,
    nextOf,
    segments: () => [...states.values()].flatMap((s) => s.segments).sort((a, b) => a - b),
    reached: (segment, offset, signal) => waiters.wait(() => nextOf(segment), offset, signal),
    reachedPartition: (partition, offset, signal) => waiters.wait(() => next(partition), offset, signal),
    health: () => ({
      instance: options.instance,
      partitions: [...states.values()].map((s) => ({
        partition: s.partition,
        next: s.next,
        segments: s.segments.length,
        blockedBy: '',
      })),
    }),
  }
}
