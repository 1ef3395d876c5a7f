import {
  type Assignment,
  type Broker,
  ForestallError,
  isError,
  type OffsetToCommit,
  type TransactionalProducer,
} from '#core/ports'

/** Commits input offsets under the generation of their assignment, so that a member that lost its partitions cannot. */
export interface Committer {
  /**
   * Throws GENERATION_STALE or PRODUCER_FENCED (do not try again), or another error (the outcome is
   * unknown; the next commit tells).
   */
  commit(assignment: Assignment, offsets: OffsetToCommit[]): Promise<void>
  close(): Promise<void>
}

/** A committer; a transaction per commit, since only those carry the generation (KIP-447). */
export function createCommitter(broker: Broker, groupId: string, transactionalId: string): Committer {
  let ready: TransactionalProducer | null = null

  async function producer(): Promise<TransactionalProducer> {
    if (ready !== null) return ready
    const fresh = broker.transactionalProducer({ transactionalId })
    try {
      await fresh.init()
    } catch (error) {
      await fresh.close().catch(() => undefined)
      throw error
    }
    ready = fresh
    return fresh
  }

  async function undo(failed: TransactionalProducer): Promise<void> {
    try {
      await failed.abort()
    } catch {
      // A new producer of the same id aborts what this one left open.
      ready = null
      await failed.close().catch(() => undefined)
    }
  }

  return {
    async commit(assignment, offsets) {
      const current = await producer()
      try {
        await current.sendOffsets(groupId, assignment, offsets)
        await current.commit()
      } catch (error) {
        if (!isError(error, 'PRODUCER_FENCED')) await undo(current)
        throw error instanceof Error ? error : new ForestallError('STACK_FAILED', String(error))
      }
    },
    async close() {
      await ready?.close()
      ready = null
    },
  }
}
