import { Buffer } from 'node:buffer'
import type { RecordCodec } from '#core/codec'
import {
  type Broker,
  type Clock,
  ForestallError,
  type PartitionReader,
  type PartitionReaderOptions,
  partitionKey,
  type Producer,
} from '#core/ports'
import type { PlacedBlock } from './blocks.ts'

/** Where a block came to lie in the log. */
export interface LogPlace {
  readonly partition: number
  readonly offset: number
}

/** Appends blocks to a write log and learns where they came to lie. */
export interface LogWriter {
  /** Opens producer and reader, and reads what was written lately. Throws NOT_FOUND if the topic is missing. */
  start(): Promise<void>
  /**
   * Appends blocks in order; resolves with their places (in no order) once all in-sync brokers have them and they can be read. Throws
   * TRANSACTION_UNKNOWN if that is not known in time: the blocks may or may not be in the log.
   */
  append(blocks: readonly PlacedBlock[]): Promise<LogPlace[]>
  /** As `append`, all or none, and in the same order in every partition as any other call of any writer. */
  appendInOrder(blocks: readonly PlacedBlock[]): Promise<LogPlace[]>
  /** Bytes handed in and not yet in the log: the means of back-pressure. */
  readonly pendingBytes: number
  close(): Promise<void>
}

/** What a log writer is made of. */
export interface LogWriterOptions {
  broker: Broker
  codec: RecordCodec
  topic: string
  clock: Clock
  /** How long a block may take to be seen in the log, ms. Default 30,000. */
  timeoutMs?: number
  onWarning?: (error: Error) => void
}

/** Ids of blocks that clients may send again begin so: see `insertId`. */
const REPEATABLE = 'repeat:'
const REPEATS_KEPT = 20_000
const LOOK_BACK_RECORDS = 2000

/** A writer; several may write to one log at the same time. */
export function createLogWriter(options: LogWriterOptions): LogWriter {
  const { broker, codec, topic, clock, timeoutMs = 30_000, onWarning } = options
  /** Whoever waits for the place of a block, by its id: a client may repeat an insert before the first has ended. */
  const waiting = new Map<string, Set<(place: LogPlace) => void>>()
  /** Places of the last blocks that clients have given a token, by id, oldest first. */
  const repeatable = new Map<string, LogPlace>()
  let producer: Producer | null = null
  let reader: PartitionReader | null = null
  let inOrder: Promise<unknown> = Promise.resolve()

  function note(id: string, place: LogPlace): void {
    for (const resolve of waiting.get(id) ?? []) resolve(place)
    waiting.delete(id)
    if (!id.startsWith(REPEATABLE) || repeatable.has(id)) return
    repeatable.set(id, place)
    const [oldest] = repeatable.keys()
    if (repeatable.size > REPEATS_KEPT && oldest !== undefined) repeatable.delete(oldest)
  }

  /** Waits for the place of a block; what is returned ends that. */
  function wait(id: string, resolve: (place: LogPlace) => void): () => void {
    const all = waiting.get(id) ?? new Set()
    waiting.set(id, all.add(resolve))
    return () => {
      all.delete(resolve)
      if (all.size === 0 && waiting.get(id) === all) waiting.delete(id)
    }
  }

  /**
   * Reads the log from shortly before its present end: nobody else says where a record went, and what clients have
   * sent before a restart may be sent again after it.
   */
  async function startReader(): Promise<void> {
    const admin = broker.admin()
    try {
      const count = (await admin.partitions([topic])).get(topic)
      if (count === undefined) throw new ForestallError('NOT_FOUND', `Topic ${topic} does not exist.`)
      const all = Array.from({ length: count }, (_, partition) => ({ topic, partition }))
      const [starts, ends] = await Promise.all([admin.offsets(all, 'earliest'), admin.offsets(all, 'latest')])
      const from = (partition: number): number => {
        const key = partitionKey(topic, partition)
        return Math.max(starts.get(key) ?? 0, (ends.get(key) ?? 0) - LOOK_BACK_RECORDS)
      }
      // A repeat that came before this is read would be taken for new: replicas know it, but not those that get its segment later.
      const lately = read(
        all.map((p) => ({ ...p, from: from(p.partition) })),
        'end',
      )
      await lately.done
      reader = read(
        all.map((p) => ({ ...p, from: lately.position(p) })),
        'forever',
      )
      await lately.close()
    } finally {
      await admin.close()
    }
  }

  function read(partitions: PartitionReaderOptions['partitions'], until: 'end' | 'forever'): PartitionReader {
    return broker.readPartitions({
      partitions,
      until,
      onBatch(cursor) {
        while (cursor.next()) {
          const { buffer, keyStart, keyLength, partition, offset } = cursor
          const id = keyLength < 0 ? '' : buffer.toString('utf8', keyStart, keyStart + keyLength)
          note(id, { partition, offset })
        }
      },
      ...(onWarning === undefined ? {} : { onError: onWarning }),
    })
  }

  async function send(
    all: readonly PlacedBlock[],
    write: (blocks: readonly PlacedBlock[], values: readonly Buffer[]) => Promise<void>,
  ): Promise<LogPlace[]> {
    // A repeat of what is in the log already lies where the first one does.
    const known = all.map(({ block }) => repeatable.get(block.block_id))
    const blocks = all.filter((_, i) => known[i] === undefined)
    const values = blocks.map(({ block }) => codec.encode(topic, 'WriteBlock', block))
    const late = Promise.withResolvers<never>()
    const timer = setTimeout(() => late.reject(unknownOutcome(topic)), timeoutMs)
    const leave: (() => void)[] = []
    const places = blocks.map(
      ({ block: { block_id: id } }) => new Promise<LogPlace>((resolve) => leave.push(wait(id, resolve))),
    )
    try {
      const written = await Promise.race([
        write(blocks, values).then(() => Promise.all(places)),
        late.promise,
      ])
      return [...known.filter((place) => place !== undefined), ...written]
    } finally {
      clearTimeout(timer)
      for (const end of leave) end()
    }
  }

  async function writeTransaction(blocks: readonly PlacedBlock[], values: readonly Buffer[]): Promise<void> {
    // One id for all writers of a log: whoever begins fences the others, so that two of these never interleave.
    const transaction = broker.transactionalProducer({ transactionalId: `${topic}.in-order` })
    try {
      await transaction.init()
      for (const [i, { partition, block }] of blocks.entries()) {
        transaction.add(topic, partition, clock.nowMs(), Buffer.from(block.block_id), values[i] as Buffer)
      }
      await transaction.commit()
    } finally {
      await transaction.close()
    }
  }

  return {
    async start() {
      if (producer !== null) return
      producer = broker.producer()
      await startReader()
    },
    append: (blocks) =>
      send(blocks, async (news, values) => {
        if (producer === null) throw new ForestallError('TOPOLOGY_INVALID', 'The log writer is not started.')
        for (const [i, { partition, block }] of news.entries()) {
          producer.add(topic, partition, clock.nowMs(), Buffer.from(block.block_id), values[i] as Buffer)
        }
        await producer.flush()
      }),
    async appendInOrder(blocks) {
      const run = inOrder.then(() => send(blocks, writeTransaction))
      inOrder = run.catch(() => undefined)
      return run
    },
    get pendingBytes() {
      return producer?.pendingBytes ?? 0
    },
    async close() {
      await reader?.close()
      await producer?.close()
      producer = null
    },
  }
}

const unknownOutcome = (topic: string): ForestallError =>
  new ForestallError('TRANSACTION_UNKNOWN', `Rows sent to ${topic} have not been seen there in time.`, {
    cure: 'They may or may not be applied: repeat the insert with the same insert_deduplication_token.',
  })
