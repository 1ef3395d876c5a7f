import { ForestallError } from '#core/ports'
import type { TransactionalProducer } from '#core/ports'
import { createAccumulator } from './accumulator.ts'
import type { ProducerIdentity } from './accumulator.ts'
import { createBatchSender } from './batch-sender.ts'
import type { Cluster } from './cluster.ts'
import type { RecordBatchBuilder } from './record-batch-builder.ts'
import { hasApiError, isTransient } from './retry.ts'
import { createTransactionCoordinator, FENCING } from './transaction-coordinator.ts'

const asError = (e: unknown): Error => (e instanceof Error ? e : new Error(String(e)))

/**
 * Sends records and offsets in transactions. Requests run one after another, so what is added while a commit is
 * under way belongs to the next transaction. After an error every call throws it, until `abort` has cleaned up;
 * PRODUCER_FENCED is for good.
 */
export function createTransactionalProducer(
  cluster: Cluster,
  transactionalId: string,
  timeoutMs = 60_000,
): TransactionalProducer {
  const { compression, batchBytes, retryForMs } = cluster.options
  const lane = cluster.openLane('transactions')
  const stop = (): boolean => aborting
  const coordinator = createTransactionCoordinator(cluster, lane, { transactionalId, timeoutMs, stop })
  const sender = createBatchSender(cluster, lane, transactionalId, Math.min(retryForMs, timeoutMs))
  const accumulator = createAccumulator({ transactional: true, compression, batchBytes })
  let identity: ProducerIdentity | null = null
  let failure: Error | null = null
  let tail: Promise<void> = Promise.resolve()
  /** Bytes closed and not acknowledged. */
  let unacknowledged = 0
  /** The coordinator may have the transaction open. */
  let begun = false
  let offsetsAdded = false
  let aborting = false
  const partitions = new Map<string, Set<number>>()
  const groups = new Set<string>()

  function producer(): ProducerIdentity {
    if (identity === null)
      throw new ForestallError('CONFIG_INVALID', `the producer ${transactionalId} is used before init`)
    return identity
  }

  function adopt(next: ProducerIdentity): void {
    identity = next
    accumulator.resetSequences()
    reset()
  }

  function reset(): void {
    partitions.clear()
    groups.clear()
    begun = false
    offsetsAdded = false
  }

  /**
   * "Fenced" has two meanings. If the coordinator lets us go on from our own epoch, nobody took over: it had only
   * aborted a transaction that was open for too long.
   */
  async function explain(error: unknown): Promise<Error> {
    if (!hasApiError(error, ...FENCING)) return asError(error)
    try {
      adopt(await coordinator.initProducer(producer()))
      return new ForestallError(
        'TRANSACTION_EXPIRED',
        `a transaction of ${transactionalId} was open for more than ${timeoutMs} ms`,
        { cause: error },
      )
    } catch (refusal) {
      if (!hasApiError(refusal, ...FENCING)) return asError(refusal) // not known: the next abort asks again
      return new ForestallError('PRODUCER_FENCED', `a newer producer of ${transactionalId} has taken over`, {
        cause: error,
      })
    }
  }

  async function run(operation: () => Promise<void>): Promise<void> {
    if (failure !== null) throw failure
    try {
      await operation()
    } catch (error) {
      failure = await explain(error)
      throw failure
    }
  }

  /** Runs operations in order; the first error sticks. */
  function enqueue(operation: () => Promise<void>): Promise<void> {
    const result = tail.then(() => run(operation))
    tail = result.catch(() => {})
    return result
  }

  async function addFreshPartitions(batches: readonly RecordBatchBuilder[]): Promise<void> {
    const fresh = batches.filter((b) => partitions.get(b.topic)?.has(b.partition) !== true)
    if (fresh.length === 0) return
    begun = true
    const topics = Map.groupBy(fresh, (b) => b.topic)
    await coordinator.addPartitions(
      producer(),
      [...topics].map(([name, list]) => ({ name, partitions: list.map((b) => b.partition) })),
    )
    for (const b of fresh) partitions.set(b.topic, (partitions.get(b.topic) ?? new Set()).add(b.partition))
  }

  async function sendBatches(batches: readonly RecordBatchBuilder[]): Promise<void> {
    if (aborting) return
    await addFreshPartitions(batches)
    await sender.send(accumulator.encode(batches, producer()), (b) => (unacknowledged -= b.bytes), stop)
  }

  function flush(): void {
    const batches = accumulator.cut()
    if (batches.length === 0) return
    for (const b of batches) unacknowledged += b.bytes
    enqueue(() => sendBatches(batches)).catch(() => {}) // sticks in `failure`
  }

  async function endCommit(): Promise<void> {
    if (!begun) return
    try {
      await coordinator.end(producer(), true)
    } catch (error) {
      if (!isTransient(error)) throw error
      throw new ForestallError('TRANSACTION_UNKNOWN', `the commit of ${transactionalId} was not answered`, {
        cause: error,
      })
    }
    reset()
  }

  async function endAbort(): Promise<void> {
    const uncertain = failure !== null || unacknowledged > 0 // sequence numbers may have been used up
    unacknowledged = 0
    failure = null
    if (begun) {
      try {
        await coordinator.end(producer(), false)
      } catch (error) {
        // INVALID_TXN_STATE: it never began at the coordinator, or it is over
        if (!hasApiError(error, 'INVALID_TXN_STATE')) throw error
      }
    }
    reset()
    if (uncertain) adopt(await coordinator.initProducer(producer()))
  }

  return {
    async init() {
      await tail
      failure = null
      accumulator.cut()
      unacknowledged = 0
      adopt(await coordinator.initProducer(null))
    },
    add(topic, partition, timestampMs, key, value, headers) {
      if (failure !== null) throw failure
      if (accumulator.overflows(topic, partition, key, value)) flush()
      if (accumulator.add(topic, partition, timestampMs, key, value, headers)) flush()
    },
    get pendingBytes() {
      return accumulator.bytes + unacknowledged
    },
    get dirty() {
      return begun || offsetsAdded || accumulator.bytes + unacknowledged > 0 || failure !== null
    },
    sendOffsets(groupId, assignment, offsets) {
      return enqueue(async () => {
        if (offsets.length === 0) return
        begun = true
        offsetsAdded = true
        if (!groups.has(groupId)) await coordinator.addOffsets(producer(), groupId)
        groups.add(groupId)
        await coordinator.commitOffsets(producer(), groupId, assignment, offsets)
      })
    },
    commit() {
      flush()
      return enqueue(endCommit)
    },
    async abort() {
      if (failure instanceof ForestallError && failure.code === 'PRODUCER_FENCED') throw failure
      aborting = true
      accumulator.cut()
      await tail
      aborting = false
      try {
        await endAbort()
      } catch (error) {
        const reason = await explain(error)
        if (reason instanceof ForestallError && reason.code === 'TRANSACTION_EXPIRED') return // aborted for us
        failure = reason
        throw reason
      }
    },
    async close() {
      aborting = true
      accumulator.cut()
      await tail
      if (begun && failure === null) await coordinator.end(producer(), false).catch(() => {}) // else readers wait for the timeout
      await lane.close()
    },
  }
}
