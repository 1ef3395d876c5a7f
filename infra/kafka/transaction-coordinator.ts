import type { Connection } from '@platformatic/kafka'
import { ForestallError } from '#core/ports'
import type { Assignment, OffsetToCommit } from '#core/ports'
import type { ProducerIdentity } from './accumulator.ts'
import { APIS } from './apis.ts'
import type { Cluster, Lane } from './cluster.ts'
import { byTopic } from './offsets.ts'
import { hasApiError, isNetworkError, isTransient, retry } from './retry.ts'

/** The requests of a transactional id, each repeated until the coordinator has carried it out. */
export interface TransactionCoordinator {
  /** A new epoch. Without `from` older producers are fenced; with it, we are refused if there is a newer one. */
  initProducer(from: ProducerIdentity | null): Promise<ProducerIdentity>
  addPartitions(producer: ProducerIdentity, topics: { name: string; partitions: number[] }[]): Promise<void>
  addOffsets(producer: ProducerIdentity, groupId: string): Promise<void>
  commitOffsets(
    producer: ProducerIdentity,
    groupId: string,
    assignment: Assignment,
    offsets: readonly OffsetToCommit[],
  ): Promise<void>
  end(producer: ProducerIdentity, commit: boolean): Promise<void>
}

/** Kafka's names for "there is, or was, someone newer under this id". */
export const FENCING = ['PRODUCER_FENCED', 'INVALID_PRODUCER_EPOCH', 'INVALID_PRODUCER_ID_MAPPING'] as const
const STALE = [
  'ILLEGAL_GENERATION',
  'UNKNOWN_MEMBER_ID',
  'FENCED_INSTANCE_ID',
  'REBALANCE_IN_PROGRESS',
] as const

/**
 * The broker answers EndTxn before its markers are written, and meanwhile refuses the next transaction with
 * CONCURRENT_TRANSACTIONS: wait 1 ms, doubling to 50 ms. A flat client delay would set the transaction rate.
 */
const MARKER_DELAY_MS = 1
const MARKER_MAX_DELAY_MS = 50

/** How a coordinator's requests end. */
export interface TransactionOptions {
  readonly transactionalId: string
  /** The broker aborts a transaction that is open for longer, ms. */
  readonly timeoutMs: number
  /** True: requests that fail are not repeated any more. */
  readonly stop: () => boolean
}

/** Talks to the coordinator of one transactional id on `lane`. */
export function createTransactionCoordinator(
  cluster: Cluster,
  lane: Lane,
  { transactionalId, timeoutMs, stop }: TransactionOptions,
): TransactionCoordinator {
  const forMs = cluster.options.retryForMs

  function call<T>(type: 0 | 1, key: string, operation: (connection: Connection) => Promise<T>): Promise<T> {
    const onCoordinator = async () => operation(await lane.coordinator(type, key))
    const markersWritten = () =>
      retry(onCoordinator, {
        forMs,
        delayMs: MARKER_DELAY_MS,
        maxDelayMs: MARKER_MAX_DELAY_MS,
        when: (e) => hasApiError(e, 'CONCURRENT_TRANSACTIONS'),
        stop,
      })
    return retry(markersWritten, {
      forMs,
      delayMs: 20,
      when: (e) => isTransient(e) && !hasApiError(e, 'CONCURRENT_TRANSACTIONS'),
      stop,
      onRetry: (e) => {
        cluster.forgetCoordinator(type, key)
        if (isNetworkError(e)) cluster.failed(e)
      },
    })
  }
  const onTransaction = <T>(operation: (connection: Connection) => Promise<T>) =>
    call(1, transactionalId, operation)

  return {
    async initProducer(from) {
      const request = await retry(() => cluster.api(APIS.initProducerId), { forMs })
      const answer = await onTransaction((c) =>
        request.async(c, transactionalId, timeoutMs, from?.id ?? -1n, from?.epoch ?? -1),
      )
      return { id: answer.producerId, epoch: answer.producerEpoch }
    },
    async addPartitions(producer, topics) {
      const request = await cluster.api(APIS.addPartitionsToTxn)
      const transaction = {
        transactionalId,
        producerId: producer.id,
        producerEpoch: producer.epoch,
        verifyOnly: false,
        topics,
      }
      await onTransaction((c) => request.async(c, [transaction]))
    },
    async addOffsets(producer, groupId) {
      const request = await cluster.api(APIS.addOffsetsToTxn)
      await onTransaction((c) => request.async(c, transactionalId, producer.id, producer.epoch, groupId))
    },
    async commitOffsets(producer, groupId, assignment, offsets) {
      const request = await cluster.api(APIS.txnOffsetCommit)
      const topics = byTopic(offsets, (o) => ({
        partitionIndex: o.partition,
        committedOffset: BigInt(o.offset),
        committedLeaderEpoch: -1,
        committedMetadata: o.metadata,
      }))
      const { generationId, memberId, groupInstanceId } = assignment
      try {
        await call(0, groupId, (c) =>
          request.async(
            c,
            transactionalId,
            groupId,
            producer.id,
            producer.epoch,
            generationId,
            memberId,
            groupInstanceId,
            topics,
          ),
        )
      } catch (error) {
        if (!hasApiError(error, ...STALE)) throw error
        throw new ForestallError(
          'GENERATION_STALE',
          `group ${groupId} has left generation ${generationId} of ${memberId} behind`,
          { cause: error },
        )
      }
    },
    async end(producer, commit) {
      const request = await cluster.api(APIS.endTxn)
      await onTransaction((c) => request.async(c, transactionalId, producer.id, producer.epoch, commit))
    },
  }
}
