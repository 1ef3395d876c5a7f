import type {
  Broker,
  GroupHandler,
  GroupReader,
  Random,
  TimerHandle,
  Timers,
  TopicPartition,
} from '#core/ports'
import { createBackoff } from './backoff.ts'

/** The membership of a sink in its group: follows topics that come and go, and joins again after failures. */
export interface SinkGroup {
  start(): Promise<void>
  /** Leaves and joins again, after a pause that grows until `joined` is called. */
  restart(): void
  joined(): void
  pause(partitions: TopicPartition[]): void
  resume(partitions: TopicPartition[]): void
  /** Wanted topics that exist. */
  topics(): Promise<string[]>
  /** No restart begins any more. */
  settle(): Promise<void>
  close(): Promise<void>
}

/** What a group needs. */
export interface SinkGroupDeps {
  readonly broker: Broker
  readonly groupId: string
  readonly groupInstanceId: string | undefined
  /** Largest answer of one fetch. */
  readonly maxBytes: number
  readonly topicRefreshMs: number
  readonly timers: Timers
  readonly random: Random
  wants(topic: string): boolean
  readonly handler: GroupHandler
}

const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 10_000

/** A group that has not been joined. */
export function createSinkGroup(deps: SinkGroupDeps): SinkGroup {
  const { broker, groupId, groupInstanceId, maxBytes, timers, handler } = deps
  const backoff = createBackoff(timers, deps.random, FIRST_RETRY_MS, LAST_RETRY_MS)
  let reader: GroupReader | null = null
  let subscribed: string[] = []
  let restarting: Promise<void> | null = null
  let timer: TimerHandle | null = null
  const state = { running: false }

  async function topics(): Promise<string[]> {
    const admin = broker.admin()
    try {
      return (await admin.listTopics()).filter((name) => deps.wants(name)).sort()
    } finally {
      await admin.close()
    }
  }

  async function join(): Promise<void> {
    subscribed = await topics()
    if (subscribed.length === 0) return
    const instance = groupInstanceId === undefined ? {} : { groupInstanceId }
    // Rows and dead letters are copies: nothing of a batch is kept.
    const next = broker.groupReader(
      { groupId, topics: subscribed, maxBytes, reuseBuffers: true, ...instance },
      handler,
    )
    reader = next
    await next.start()
  }

  async function rejoin(): Promise<void> {
    while (state.running) {
      try {
        await reader?.close()
        reader = null
        await backoff.pause()
        if (state.running) await join()
        return
      } catch (error) {
        handler.onError(error as Error)
      }
    }
  }

  function restart(): void {
    if (restarting !== null || !state.running) return
    restarting = rejoin().finally(() => {
      restarting = null
    })
  }

  async function look(): Promise<void> {
    try {
      const now = await topics()
      if (now.join() !== subscribed.join()) restart()
    } catch (error) {
      handler.onError(error as Error)
    }
    if (state.running) refresh()
  }

  function refresh(): void {
    timer = timers.after(deps.topicRefreshMs, () => void look())
  }

  async function settle(): Promise<void> {
    state.running = false
    timer?.cancel()
    backoff.wake()
    await restarting
  }

  return {
    async start() {
      state.running = true
      await join()
      refresh()
    },
    restart,
    joined: () => backoff.reset(),
    pause: (partitions) => reader?.pause(partitions),
    resume: (partitions) => reader?.resume(partitions),
    topics,
    settle,
    async close() {
      await settle()
      await reader?.close()
    },
  }
}
