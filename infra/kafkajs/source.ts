import { randomUUID } from 'node:crypto'
import type { Consumer, ConsumerConfig, EachMessagePayload, Kafka } from 'kafkajs'
import {
  createPause,
  type Decision,
  type DecisionSource,
  type DecisionSourceHandler,
  type DecodeDecision,
  ForestallError,
  skippedRecord,
  systemTimers,
  type Timers,
} from '#core/ports'
import { registerCodecs } from './codecs.ts'

/** Settings of a kafkajs source. */
export interface KafkajsSourceOptions<Body> {
  /** The client of the process; the source makes a consumer and an admin of its own. */
  kafka: Kafka
  topic: string
  decode: DecodeDecision<Body>
  /**
   * Group of the consumer. It must be this follower's alone: a follower needs every partition. Default: a new
   * name; nothing is ever committed, so the broker forgets the group when the follower leaves.
   */
  groupId?: string
  /** Further settings of the consumer (session timeout, retry). */
  consumer?: Omit<ConsumerConfig, 'groupId'>
  /** Delay before another try when Kafka is away. Default 1,000 ms. */
  retryMs?: number
  timers?: Timers
}

const asError = (e: unknown): Error => (e instanceof Error ? e : new Error(String(e)))

/**
 * A decision source for processes that already use kafkajs 2: the whole topic, then live, committed records only.
 * The end offset "seen at the start" is the last stable one, as kafkajs reports it.
 */
export function createKafkajsSource<Body>(options: KafkajsSourceOptions<Body>): DecisionSource<Body> {
  const { kafka, topic, decode, retryMs = 1000, timers = systemTimers } = options
  const groupId = options.groupId ?? `forestall.follower.${randomUUID()}`
  /** Next offset to read, by partition: a rebalance may hand out again what has been seen. */
  const positions = new Map<number, number>()
  const ends = new Map<number, number>()
  const state = { stopped: false, caughtUp: false }
  let running: Promise<void> | null = null
  const pause = createPause(timers)
  let endSession = (): void => {}

  async function noteEnds(): Promise<void> {
    // Few retries: `run` tries again itself, and says so.
    const admin = kafka.admin({ retry: { retries: 1 } })
    try {
      await admin.connect()
      for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
        ends.set(partition, Number(high))
        if (!positions.has(partition)) positions.set(partition, Number(low))
      }
    } finally {
      await admin.disconnect()
    }
  }

  async function announceIfCaughtUp(handler: DecisionSourceHandler<Body>): Promise<void> {
    if (state.caughtUp || state.stopped) return
    for (const [partition, end] of ends) if ((positions.get(partition) ?? 0) < end) return
    state.caughtUp = true
    await handler.onCaughtUp(new Map(positions))
  }

  async function handOut(payload: EachMessagePayload, handler: DecisionSourceHandler<Body>): Promise<void> {
    const { partition, message } = payload
    const offset = Number(message.offset)
    if (state.stopped || offset < (positions.get(partition) ?? 0)) return
    if (message.key !== null) {
      const entity = message.key.toString()
      const decision = message.value === null ? null : await read(message.value, payload, handler)
      if (decision !== undefined) {
        await handler.onDecision({
          entity,
          decision,
          partition,
          offset,
          timestampMs: Number(message.timestamp),
        })
      }
    }
    positions.set(partition, offset + 1)
    await announceIfCaughtUp(handler)
  }

  /**
   * Undefined: nobody will ever read it, it is skipped. What may pass is tried again here, with heartbeats: thrown, it
   * would make kafkajs leave the group and join again after seconds.
   */
  async function read(
    value: Buffer,
    payload: EachMessagePayload,
    handler: DecisionSourceHandler<Body>,
  ): Promise<Decision<Body> | undefined> {
    while (!state.stopped) {
      try {
        return await decode(value)
      } catch (cause) {
        try {
          handler.onError(
            skippedRecord(cause, `${topic} partition ${payload.partition} offset ${payload.message.offset}`),
          )
          return undefined
        } catch (passing) {
          handler.onError(asError(passing))
        }
        await payload.heartbeat()
        await pause.wait(retryMs)
      }
    }
    return undefined
  }

  /** Control and aborted records are not handed out, but END_BATCH_PROCESS tells how far the batch went. */
  function listen(
    made: Consumer,
    handler: DecisionSourceHandler<Body>,
    joined: () => void,
    ended: () => void,
  ): void {
    made.on(made.events.END_BATCH_PROCESS, ({ payload }) => {
      const next = Number(payload.lastOffset) + 1
      positions.set(payload.partition, Math.max(positions.get(payload.partition) ?? 0, next))
      ends.set(payload.partition, Math.max(next, Number(payload.highWatermark)))
      if (!state.caughtUp) announceIfCaughtUp(handler).catch((e: unknown) => handler.onError(asError(e)))
    })
    made.on(made.events.GROUP_JOIN, ({ payload }) => {
      joined()
      const given = payload.memberAssignment[topic]?.length ?? 0
      if (given === ends.size) return
      const what = `Group ${groupId} has other members: this follower got ${given} of ${ends.size} partitions`
      handler.onError(new ForestallError('CONFIG_INVALID', `${what} of ${topic}.`))
    })
    made.on(made.events.CRASH, ({ payload }) => {
      handler.onError(payload.error)
      joined()
      if (!payload.restart) ended()
    })
  }

  async function session(handler: DecisionSourceHandler<Body>): Promise<void> {
    await noteEnds()
    const { promise: over, resolve: end } = Promise.withResolvers<void>()
    endSession = end
    const { promise: joined, resolve: join } = Promise.withResolvers<void>()
    const made = kafka.consumer({
      maxWaitTimeInMs: 500,
      ...options.consumer,
      groupId,
      readUncommitted: false,
    })
    try {
      listen(made, handler, join, end)
      await made.connect()
      await made.subscribe({ topic, fromBeginning: true })
      await announceIfCaughtUp(handler)
      if (state.stopped) return
      await made.run({ autoCommit: false, eachMessage: (payload) => handOut(payload, handler) })
      // kafkajs that is disconnected while it joins leaves a socket behind: first join, then stop.
      await joined
      if (!state.stopped) await over
    } finally {
      await made.stop()
      await made.disconnect()
    }
  }

  async function run(handler: DecisionSourceHandler<Body>): Promise<void> {
    while (!state.stopped) {
      try {
        await session(handler)
      } catch (e) {
        if (!state.stopped) handler.onError(asError(e))
      }
      if (!state.stopped) await pause.wait(retryMs)
    }
  }

  registerCodecs()
  return {
    topic,
    start(handler) {
      if (!state.stopped) running ??= run(handler)
    },
    async stop() {
      state.stopped = true
      pause.end()
      endSession()
      await running
    },
    lag() {
      if (ends.size === 0) return -1
      let behind = 0
      for (const [partition, end] of ends) behind += Math.max(0, end - (positions.get(partition) ?? 0))
      return behind
    },
  }
}
