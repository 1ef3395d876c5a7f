import { Buffer } from 'node:buffer'
import type { Header, Producer, TransactionalProducer } from '../../ports/index.ts'
import { ForestallError } from '../../ports/index.ts'
import type { LogRecord } from './log-cursor.ts'
import type { MemoryGroup } from './memory-broker-group.ts'
import type { MemoryState } from './memory-broker-state.ts'

const copy = (bytes: Uint8Array | null): Buffer | null => (bytes === null ? null : Buffer.from(bytes))

function toRecord(
  timestampMs: number,
  key: Uint8Array | null,
  value: Uint8Array | null,
  headers: readonly Header[] = [],
): LogRecord {
  return {
    timestampMs,
    key: copy(key),
    value: copy(value),
    headers: headers.map(([name, bytes]) => [name, Buffer.from(bytes)] as const),
  }
}

/** A transactional producer: records are in the log at once, and visible when the transaction commits. */
export function createMemoryTransactionalProducer(
  state: MemoryState,
  groupOf: (groupId: string) => MemoryGroup,
  transactionalId: string,
): TransactionalProducer {
  let epoch = -1
  let dirty = false
  let failure: Error | null = null

  /** Fencing is noticed by requests, not by `add`; then it sticks, as every error does until `abort`. */
  function check(): void {
    if (failure !== null) throw failure
    if (epoch < 0)
      throw new ForestallError('CONFIG_INVALID', `the producer ${transactionalId} is used before init`)
    if (state.isCurrent(transactionalId, epoch)) return
    failure = new ForestallError('PRODUCER_FENCED', `a newer producer of ${transactionalId} has taken over`)
    throw failure
  }

  function end(commit: boolean): void {
    if (dirty) state.transaction(transactionalId).end(commit)
    dirty = false
  }

  return {
    async init() {
      epoch = state.newEpoch(transactionalId)
      failure = null
      dirty = false
    },
    add(topic, partition, timestampMs, key, value, headers) {
      if (failure !== null) throw failure
      dirty = true
      if (!state.isCurrent(transactionalId, epoch)) return
      state
        .log(topic, partition)
        .append(toRecord(timestampMs, key, value, headers), state.transaction(transactionalId))
      state.changed()
    },
    pendingBytes: 0,
    get dirty() {
      return dirty || failure !== null
    },
    async sendOffsets(groupId, assignment, offsets) {
      check()
      if (offsets.length === 0) return
      dirty = true
      try {
        groupOf(groupId).addOffsets(state.transaction(transactionalId), assignment, offsets)
      } catch (error) {
        failure = error as Error
        throw error
      }
    },
    async commit() {
      check()
      end(true)
    },
    async abort() {
      if (failure instanceof ForestallError && failure.code === 'PRODUCER_FENCED') throw failure
      failure = null
      if (!dirty) return
      check()
      end(false)
    },
    async close() {
      if (epoch >= 0 && state.isCurrent(transactionalId, epoch)) end(false)
    },
  }
}

/** A producer outside transactions: what is added is in the log at once. */
export function createMemoryProducer(state: MemoryState): Producer {
  return {
    add(topic, partition, timestampMs, key, value, headers) {
      state.log(topic, partition).append(toRecord(timestampMs, key, value, headers), null)
      state.changed()
    },
    pendingBytes: 0,
    async flush() {},
    async close() {},
  }
}
