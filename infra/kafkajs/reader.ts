import { randomUUID } from 'node:crypto'
import type { Consumer, Kafka, KafkaMessage } from 'kafkajs'
import type { PartitionReader, PartitionReaderOptions, RecordCursor } from '#core/ports'
import { ForestallError, partitionKey } from '#core/ports'
import { registerCodecs } from './codecs.ts'

/** What an audit reads with. */
export interface KafkajsReader {
  /** Reads committed records from the earliest to the ends seen at the start (`follow` and `from` are not known). */
  readPartitions(options: PartitionReaderOptions): PartitionReader
  /** Partitions and offsets, as the port's admin has them; `stable` and `latest` are what kafkajs calls high. */
  admin(): KafkajsAdmin
  close(): Promise<void>
}

/** The part of the port's admin that an audit needs. */
export interface KafkajsAdmin {
  partitions(topics: string[]): Promise<Map<string, number>>
  offsets(
    partitions: readonly { topic: string; partition: number }[],
    which: 'earliest' | 'latest' | 'stable',
  ): Promise<Map<string, number>>
  close(): Promise<void>
}

/** A reader that stands still this long does so for good: its last stable offset does not move. */
const STILL_MS = 60_000

/** Nobody waits for its partitions. */
const SESSION_MS = 300_000

interface Ends {
  readonly low: number
  readonly high: number
}

/**
 * Reads topics through kafkajs, whose code shares nothing with ours: what it sees is what users see who bring a
 * client of their own. Slower than ours, and only for reading what stands.
 */
export function createKafkajsReader(kafka: Kafka): KafkajsReader {
  registerCodecs()
  const connected = kafka.admin()
  const connecting = connected.connect()
  // Whoever asks first is told.
  connecting.catch(() => undefined)

  async function endsOf(topic: string): Promise<Map<number, Ends>> {
    await connecting
    const offsets = await connected.fetchTopicOffsets(topic)
    return new Map(offsets.map((o) => [o.partition, { low: Number(o.low), high: Number(o.high) }]))
  }

  async function read(options: PartitionReaderOptions): Promise<void> {
    const topics = [...new Set(options.partitions.map(({ topic }) => topic))]
    for (const topic of topics) await readTopic(kafka, topic, await endsOf(topic), options)
  }

  return {
    readPartitions: (options) => ({
      done: read(options),
      position: () => -1,
      close: async () => {},
    }),
    admin: () => ({
      async partitions(topics) {
        await connecting
        const known = new Set(await connected.listTopics())
        const wanted = topics.filter((topic) => known.has(topic))
        const { topics: found } = await connected.fetchTopicMetadata({ topics: wanted })
        return new Map(wanted.length === 0 ? [] : found.map((t) => [t.name, t.partitions.length]))
      },
      async offsets(partitions, which) {
        const found = new Map<string, number>()
        for (const topic of new Set(partitions.map((p) => p.topic))) {
          for (const [partition, { low, high }] of await endsOf(topic))
            found.set(partitionKey(topic, partition), which === 'earliest' ? low : high)
        }
        return found
      },
      close: async () => {},
    }),
    async close() {
      await connecting.catch(() => undefined)
      await connected.disconnect()
    },
  }
}

/** Reads one topic to its ends with a consumer of its own. Control records take offsets and are not handed out. */
async function readTopic(
  kafka: Kafka,
  topic: string,
  ends: ReadonlyMap<number, Ends>,
  options: PartitionReaderOptions,
): Promise<void> {
  const left = new Map([...ends].filter(([, { low, high }]) => high > low))
  if (left.size === 0) return
  const over = Promise.withResolvers<void>()
  const consumer = kafka.consumer({
    groupId: `forestall.audit.${randomUUID()}`,
    readUncommitted: false,
    maxWaitTimeInMs: 100,
    sessionTimeout: SESSION_MS,
  })
  const watch = setInterval(() => {
    if (performance.now() - movedMs < STILL_MS) return
    const where = [...left].map(([p, { high }]) => `${topic}-${p} before ${high}`).join(', ')
    over.reject(new ForestallError('OFFSET_OUT_OF_RANGE', `kafkajs stands still: ${where}`))
  }, 1000)
  let movedMs = performance.now()
  /** Next offset to hand out: a member that was slow joins again, and reads from the beginning. */
  const positions = new Map<number, number>()
  listen(consumer, (partition, next) => {
    movedMs = performance.now()
    if (next >= (left.get(partition)?.high ?? Infinity)) left.delete(partition)
    if (left.size === 0) over.resolve()
  })
  consumer.on(consumer.events.CRASH, ({ payload }) => {
    if (!payload.restart) over.reject(payload.error)
  })
  try {
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      autoCommit: false,
      eachBatch: async ({ batch }) => {
        const { partition } = batch
        const from = positions.get(partition) ?? 0
        const fresh = batch.messages.filter(({ offset }) => Number(offset) >= from)
        const last = fresh.at(-1)
        if (last === undefined) return
        positions.set(partition, Number(last.offset) + 1)
        try {
          await options.onBatch(cursorOver(topic, partition, fresh))
        } catch (error) {
          over.reject(error)
        }
      },
    })
    await over.promise
  } finally {
    clearInterval(watch)
    await consumer.stop()
    await consumer.disconnect()
  }
}

/** Tells how far each partition has been read, records that are not handed out included. */
function listen(consumer: Consumer, onRead: (partition: number, nextOffset: number) => void): void {
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload }) =>
    onRead(payload.partition, Number(payload.lastOffset) + 1),
  )
}

const NOTHING = Buffer.alloc(0)

/** Messages as the port hands batches out; without headers. */
function cursorOver(topic: string, partition: number, messages: readonly KafkaMessage[]): RecordCursor {
  let at = -1
  const last = messages.at(-1)
  const cursor = {
    topic,
    partition,
    buffer: NOTHING,
    offset: -1,
    timestampMs: -1,
    keyStart: 0,
    keyLength: -1,
    valueStart: 0,
    valueLength: -1,
    headersStart: 0,
    recordEnd: 0,
    nextOffset: last === undefined ? -1 : Number(last.offset) + 1,
    recordCount: messages.length,
    next(): boolean {
      const message = messages[++at]
      if (message === undefined) return false
      const { key, value } = message
      cursor.buffer = Buffer.concat([key ?? NOTHING, value ?? NOTHING])
      cursor.offset = Number(message.offset)
      cursor.timestampMs = Number(message.timestamp)
      cursor.keyLength = key?.length ?? -1
      cursor.valueStart = key?.length ?? 0
      cursor.valueLength = value?.length ?? -1
      cursor.headersStart = cursor.buffer.length
      cursor.recordEnd = cursor.buffer.length
      return true
    },
  }
  return cursor
}
