import { Buffer } from 'node:buffer'
import type { RecordCodec } from '#core/codec'
import { murmur3 } from '#core/math'
import {
  type Broker,
  type Clock,
  ForestallError,
  type RecordCursor,
  systemClock,
  type TransactionalProducer,
} from '#core/ports'
import type { DeadLetter } from '#schemas'
import { startCopier } from '../exactly-once.ts'
import { createFlowAdapter, type FlowAdapterConfig } from './adapter.ts'

/** Settings of a bridge; times in ms. */
export interface FlowBridgeOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  /** Topic that goflow2 writes to. */
  readonly inputTopic: string
  /** Topic of flows, created beforehand; so must be `dlq.<inputTopic>`. */
  readonly outputTopic: string
  readonly groupId: string
  /** How messages become flows. */
  readonly adapter?: FlowAdapterConfig
  /** Stable name of this process among those of the group. Default `0`. */
  readonly slot?: string
  /** Longest time between commits while there is something to commit. Default 200. */
  readonly commitIntervalMs?: number
  /** Commit early when this much output waits. Default 16 MiB. */
  readonly maxPendingBytes?: number
  /** Bytes of the original value that a dead letter keeps. Default 900,000. */
  readonly maxDeadLetterBytes?: number
  readonly clock?: Clock
  /** Something operators must hear of. */
  onWarning?(error: Error): void
}

/** A running bridge. */
export interface FlowBridge {
  /** Since the start. Records of a transaction that was undone count each time they are read. */
  readonly counters: () => FlowBridgeCounters
  /** Rejects if it cannot go on (fenced by a newer process of the same slot); resolves after `stop`. */
  readonly done: Promise<void>
  /** Commits what is done, leaves the group and closes. Safe to call twice. */
  stop(): Promise<void>
}

/** What a bridge has done. */
interface FlowBridgeCounters {
  /** Messages read. */
  readonly records: number
  /** Flows written. */
  readonly flows: number
  readonly deadLetters: number
  /** Transactions. */
  readonly commits: number
  readonly aborts: number
}

const COMMIT_MS = 200
const PENDING_BYTES = 16 * 2 ** 20
const DEAD_LETTER_BYTES = 900_000

/**
 * Copies goflow2 messages as flows to another topic, each exactly once; what cannot be one goes to
 * `dlq.<inputTopic>` with its bytes and the reason. Resolves once it has joined the group.
 * Throws NOT_FOUND if an output topic does not exist, CONFIG_INVALID for a wrong adapter configuration.
 */
export async function runFlowAdapter(options: FlowBridgeOptions): Promise<FlowBridge> {
  const { broker, codec, inputTopic, outputTopic, groupId } = options
  const deadLetters = `dlq.${inputTopic}`
  await codec.prepare([
    { topic: outputTopic, record: 'Flow' },
    { topic: deadLetters, record: 'DeadLetter' },
  ])
  const { copy, counters } = createFlowCopy(options, deadLetters, await partitionCount(options, deadLetters))
  const copier = await startCopier({
    broker,
    inputTopic,
    groupId,
    slot: options.slot ?? '0',
    commitIntervalMs: options.commitIntervalMs ?? COMMIT_MS,
    maxPendingBytes: options.maxPendingBytes ?? PENDING_BYTES,
    copy,
    onWarning: (error) => options.onWarning?.(error),
  })
  return {
    counters: () => ({ ...counters, ...copier.counters }),
    done: copier.done,
    stop: () => copier.stop(),
  }
}

/** What happens to one message, and the count of it. */
function createFlowCopy(options: FlowBridgeOptions, deadLetters: string, outputPartitions: number) {
  const { codec, outputTopic, groupId, clock = systemClock } = options
  const maxBytes = options.maxDeadLetterBytes ?? DEAD_LETTER_BYTES
  const adapter = createFlowAdapter(options.adapter)
  const counters = { records: 0, flows: 0, deadLetters: 0 }

  function bury(cursor: RecordCursor, why: ForestallError, output: Pick<TransactionalProducer, 'add'>): void {
    const letter = deadLetter(cursor, why, maxBytes, groupId, clock.nowMs())
    const key = Buffer.from(`${cursor.partition}:${cursor.offset}`)
    output.add(deadLetters, 0, cursor.timestampMs, key, codec.encode(deadLetters, 'DeadLetter', letter))
    counters.deadLetters++
  }

  function copy(cursor: RecordCursor, output: Pick<TransactionalProducer, 'add'>): void {
    const { buffer, valueStart, valueLength, timestampMs } = cursor
    counters.records++
    const flow =
      valueLength < 0
        ? new ForestallError('RECORD_INVALID', 'The record has no value.')
        : adapter.convert(buffer, valueStart, valueStart + valueLength, timestampMs)
    if (flow instanceof ForestallError) return bury(cursor, flow, output)
    const key = Buffer.from(flow.stream)
    // Any partition would do, since topologies merge by stream; its hash keeps a stream in one.
    const partition = murmur3(key, 0, key.length) % outputPartitions
    output.add(outputTopic, partition, timestampMs, key, codec.encode(outputTopic, 'Flow', flow))
    counters.flows++
  }

  return { copy, counters }
}

/** Partitions of the output topic, once both it and the dead letters are known to exist. */
async function partitionCount(options: FlowBridgeOptions, deadLetters: string): Promise<number> {
  const { broker, outputTopic } = options
  const admin = broker.admin()
  try {
    const partitions = await admin.partitions([outputTopic, deadLetters])
    const missing = [outputTopic, deadLetters].find((topic) => !partitions.has(topic))
    if (missing !== undefined) throw new ForestallError('NOT_FOUND', `Topic ${missing} does not exist.`)
    return partitions.get(outputTopic) ?? 1
  } finally {
    await admin.close()
  }
}

function deadLetter(
  cursor: RecordCursor,
  why: ForestallError,
  maxBytes: number,
  topology: string,
  atMs: number,
): DeadLetter {
  const { topic, partition, offset, timestampMs, buffer, keyStart, keyLength, valueStart, valueLength } =
    cursor
  const copyOf = (start: number, length: number): Buffer | null =>
    length < 0 ? null : Buffer.from(buffer.subarray(start, start + Math.min(length, maxBytes)))
  return {
    topic,
    partition,
    offset,
    timestamp_ms: timestampMs,
    key: copyOf(keyStart, keyLength),
    value: copyOf(valueStart, valueLength),
    reason_code: why.code,
    reason: why.message,
    topology,
    at_ms: atMs,
  }
}
