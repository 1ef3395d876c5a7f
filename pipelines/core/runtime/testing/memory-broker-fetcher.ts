import type { RecordCursor, TopicPartition } from '../../ports/index.ts'
import { ForestallError, partitionKey } from '../../ports/index.ts'
import { LogCursor } from './log-cursor.ts'
import type { Run } from './memory-broker-log.ts'
import type { MemoryState } from './memory-broker-state.ts'

interface Reading extends TopicPartition {
  position: number
  paused: boolean
}

/** What a fetcher calls. */
export interface MemoryFetcherHandlers {
  onBatch(cursor: RecordCursor): Promise<void> | void
  onMoved?(partition: TopicPartition, position: number): void
  onError(error: Error): void
}

/** Hands out what the logs hold, one batch at a time, partition by partition. */
export interface MemoryFetcher {
  add(partitions: readonly (TopicPartition & { offset: number })[]): void
  drop(partitions: readonly TopicPartition[]): void
  /** Reads nothing any more; resolves when the callback that runs has returned. */
  clear(): Promise<void>
  pause(partitions: readonly TopicPartition[]): void
  resume(partitions: readonly TopicPartition[]): void
  position(partition: TopicPartition): number
  close(): Promise<void>
}

const asError = (e: unknown): Error => (e instanceof Error ? e : new Error(String(e)))

/** Creates a fetcher on the logs of `state`. */
export function createMemoryFetcher(
  state: MemoryState,
  readCommitted: boolean,
  handlers: MemoryFetcherHandlers,
): MemoryFetcher {
  const partitions = new Map<string, Reading>()
  let running: Promise<void> | null = null
  const unwatch = state.watch(wake)

  /** The next partition with something to read; a partition whose offset is gone is dropped with an error. */
  function next(): { reading: Reading; run: Run } | null {
    for (const [key, reading] of partitions) {
      if (reading.paused) continue
      const log = state.log(reading.topic, reading.partition)
      if (reading.position < log.start || reading.position > log.end) {
        partitions.delete(key)
        const place = `${reading.topic}-${reading.partition}`
        handlers.onError(
          new ForestallError(
            'OFFSET_OUT_OF_RANGE',
            `${place}: offset ${reading.position} is wanted, the earliest is ${log.start}`,
          ),
        )
        continue
      }
      const run = log.run(reading.position, readCommitted)
      if (run === null) continue
      partitions.delete(key) // to the end of the line: every partition gets its turn
      partitions.set(key, reading)
      return { reading, run }
    }
    return null
  }

  async function handOut(): Promise<void> {
    try {
      for (let found = next(); found !== null; found = next()) {
        const { reading, run } = found
        const { records } = state.log(reading.topic, reading.partition)
        reading.position = run.to
        if (run.records)
          await handlers.onBatch(new LogCursor(reading.topic, reading.partition, records, run.from, run.to))
        if (partitions.get(partitionKey(reading.topic, reading.partition)) === reading)
          handlers.onMoved?.(reading, run.to)
      }
    } catch (error) {
      partitions.clear()
      handlers.onError(asError(error))
    }
    running = null
  }

  function wake(): void {
    if (partitions.size > 0) running ??= Promise.resolve().then(handOut)
  }

  const clear = async (): Promise<void> => {
    partitions.clear()
    await running
  }
  const setPaused = (list: readonly TopicPartition[], paused: boolean): void => {
    for (const { topic, partition } of list) {
      const reading = partitions.get(partitionKey(topic, partition))
      if (reading !== undefined) reading.paused = paused
    }
  }

  return {
    drop(list) {
      for (const { topic, partition } of list) partitions.delete(partitionKey(topic, partition))
    },
    add(list) {
      for (const { topic, partition, offset } of list) {
        partitions.set(partitionKey(topic, partition), { topic, partition, position: offset, paused: false })
      }
      wake()
    },
    clear,
    pause: (list) => setPaused(list, true),
    resume(list) {
      setPaused(list, false)
      wake()
    },
    position: ({ topic, partition }) => partitions.get(partitionKey(topic, partition))?.position ?? -1,
    close() {
      unwatch()
      return clear()
    },
  }
}
