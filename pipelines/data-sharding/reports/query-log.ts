import { Buffer } from 'node:buffer'
import type { QueryLog } from '#schemas'
import type { RecordCodec } from '#core/codec'
import {
  type Broker,
  type Clock,
  type Producer,
  systemTimers,
  type TimerHandle,
  type Timers,
} from '#core/ports'

/** A query that the router has answered. */
export interface LoggedQuery {
  /** The shard keys that it asked for: one record each, which share its work. */
  readonly keys: readonly string[]
  /** Form of the statement. */
  readonly operation: string
  readonly instance: string
  readonly durationMs: number
  readonly failed: boolean
}

/** What became of queries; each count only grows. */
export interface QueryLogCounts {
  /** Records handed to Kafka. */
  readonly sent: number
  /** Records given up because the buffer was full or Kafka refused them. */
  readonly dropped: number
  /** Queries without a shard key: they say nothing about a segment. */
  readonly keyless: number
}

/** Writes the router's own log to `logs.queries`. */
export interface QueryLogSender {
  /** Takes a query; never waits, never throws. */
  note(query: LoggedQuery): void
  counts(): QueryLogCounts
  /** Sends what is buffered; resolves when Kafka has it or has refused it. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** What a sender is made of. */
export interface QueryLogOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  /** `logs.queries` with its prefix; it exists. */
  readonly topic: string
  readonly partitions: number
  readonly service: string
  readonly clock: Clock
  readonly timers?: Timers
  /** Records that wait at most, in the buffer and on their way. Default 20,000. */
  readonly capacity?: number
  /** Pause between two batches, ms. Default 100. */
  readonly everyMs?: number
  readonly onWarning: (error: Error) => void
}

const RECORDS = 'logs.queries'
const ORIGIN = 'router'
/** Longer operations end in a dash and a hash. */
const OPERATION_CHARS = 120

/** A sender; the record of `logs.queries` is prepared in the codec. */
export function createQueryLogSender(options: QueryLogOptions): QueryLogSender {
  const { codec, topic, partitions, service, clock, timers = systemTimers, onWarning } = options
  const { capacity = 20_000, everyMs = 100 } = options
  const producer: Producer = options.broker.producer()
  const counts = { sent: 0, dropped: 0, keyless: 0 }
  const operations = new Map<string, string>()
  let buffer: QueryLog[] = []
  let onTheirWay = 0
  let turn: Promise<void> = Promise.resolve()
  let timer: TimerHandle | null = null
  let isClosed = false
  let nextPartition = 0

  function operationOf(text: string): string {
    const known = operations.get(text)
    if (known !== undefined) return known
    const name = operationName(text)
    if (operations.size >= 4096) operations.clear()
    operations.set(text, name)
    return name
  }

  async function send(): Promise<void> {
    const batch = buffer
    buffer = []
    if (batch.length === 0) return
    onTheirWay += batch.length
    try {
      for (const record of batch) {
        // In turn, so that no partition is silent: time goes on at the pace of the slowest.
        nextPartition = (nextPartition + 1) % partitions
        const value = codec.encode(RECORDS, 'QueryLog', record)
        producer.add(topic, nextPartition, record.event_time_ms, Buffer.from(record.pattern), value)
      }
      await producer.flush()
      counts.sent += batch.length
    } catch (error) {
      counts.dropped += batch.length
      onWarning(error as Error)
    } finally {
      onTheirWay -= batch.length
    }
  }

  function flush(): Promise<void> {
    turn = turn.then(send)
    return turn
  }

  async function beat(): Promise<void> {
    await flush()
    if (!isClosed) wait()
  }

  function wait(): void {
    timer = timers.after(everyMs, () => {
      void beat()
    })
  }

  wait()
  return {
    note({ keys, operation, instance, durationMs, failed }) {
      if (isClosed) return
      if (keys.length === 0) counts.keyless++
      const nowMs = clock.nowMs()
      const name = operationOf(operation)
      for (const key of keys) {
        if (buffer.length + onTheirWay >= capacity) {
          counts.dropped++
          continue
        }
        buffer.push({
          event_time_ms: Math.round(nowMs - durationMs),
          origin: ORIGIN,
          pattern: `${service}|${name}|${key}`,
          service_id: service,
          entity_id: key,
          operation_id: name,
          work: 1 / keys.length,
          duration_ms: durationMs,
          read_rows: 0,
          read_bytes: 0,
          written_rows: 0,
          written_bytes: 0,
          instance,
          failed,
        })
      }
    },
    counts: () => ({ ...counts }),
    flush,
    async close() {
      if (isClosed) return
      isClosed = true
      timer?.cancel()
      await flush()
      await producer.close()
    },
  }
}

/** An operation as part of a pattern: no bars, and not longer than it must be. */
function operationName(text: string): string {
  const plain = text.replaceAll('|', '/').replaceAll(/\s+/g, ' ').trim()
  if (plain.length <= OPERATION_CHARS) return plain
  let hash = 0x811c9dc5
  for (let i = 0; i < plain.length; i++) hash = Math.imul(hash ^ plain.charCodeAt(i), 0x01000193)
  return `${plain.slice(0, OPERATION_CHARS)}-${(hash >>> 0).toString(16)}`
}
