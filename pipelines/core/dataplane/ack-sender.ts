import type { Ack } from '#schemas'
import {
  type Broker,
  type Clock,
  createPause,
  type Producer,
  systemTimers,
  type Timers,
} from '../ports/index.ts'
import { createBackground } from './background.ts'

/** Sends reports in the background; what cannot be sent now is kept, newest first to stay, and tried again. */
export interface AckSender {
  send(ack: Ack): void
  /** Resolves once all that was handed in is acknowledged by Kafka or was dropped. */
  flushed(): Promise<void>
  /** Reports not yet acknowledged. */
  readonly pending: number
  /** Reports dropped because too many waited. */
  readonly dropped: number
  /** Tries once more to send what waits, then closes. */
  close(): Promise<void>
}

/** Settings of an ack sender. */
export interface AckSenderOptions {
  broker: Broker
  topic: string
  /** Encodes for the topic (Confluent wire format). */
  encode: (ack: Ack) => Uint8Array | Promise<Uint8Array>
  clock: Clock
  /** Partition of an entity: reports about one entity stay in order. Default: everything to partition 0. */
  partitionOf?: (entity: string) => number
  /** Most reports kept while Kafka is away. Default 10,000. */
  capacity?: number
  /** Delay before another try. Default 1,000 ms. */
  retryMs?: number
  /** Longest wait of `close` for what is under way. Default 3,000 ms. */
  closeTimeoutMs?: number
  timers?: Timers
}

/** An ack sender over the broker port; connects with the first report. */
export function createAckSender(options: AckSenderOptions): AckSender {
  const { broker, topic, encode, clock, capacity = 10_000, retryMs = 1000, closeTimeoutMs = 3000 } = options
  const partitionOf = options.partitionOf ?? (() => 0)
  const pause = createPause(options.timers ?? systemTimers)
  const waiting: Ack[] = []
  let underWay = 0
  const sending = createBackground(sendAll)
  let dropped = 0
  let closing = false
  let producer: Producer | null = null

  async function sendBatch(batch: readonly Ack[]): Promise<void> {
    producer ??= broker.producer()
    for (const ack of batch) {
      const value = await encode(ack)
      producer.add(topic, partitionOf(ack.entity), clock.nowMs(), Buffer.from(ack.entity), value)
    }
    await producer.flush()
  }

  async function closeProducer(): Promise<void> {
    const old = producer
    producer = null
    await old?.close().catch(() => undefined)
  }

  async function sendAll(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.splice(0, 500)
      underWay = batch.length
      try {
        await sendBatch(batch)
        underWay = 0
      } catch {
        waiting.unshift(...batch)
        underWay = 0
        await closeProducer()
        if (closing) return
        await pause.wait(retryMs)
      }
    }
  }

  return {
    send(ack) {
      waiting.push(ack)
      if (waiting.length > capacity) {
        waiting.shift()
        dropped++
      }
      sending.kick()
    },
    flushed: () => sending.settled(),
    get pending() {
      return waiting.length + underWay
    },
    get dropped() {
      return dropped
    },
    async close() {
      closing = true
      pause.end()
      // A client that still tries to reach Kafka must not hold the process up.
      const timers = options.timers ?? systemTimers
      const limit = Promise.withResolvers<void>()
      const timer = timers.after(closeTimeoutMs, limit.resolve)
      await Promise.race([sending.settled(), limit.promise])
      timer.cancel()
      await closeProducer()
    },
  }
}
