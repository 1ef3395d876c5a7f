import { Buffer } from 'node:buffer'
import type { RecordCodec } from '#core/codec'
import { type Broker, type Clock, ForestallError, type TransactionalProducer } from '#core/ports'
import type { DataMoveState } from '#schemas'

/** Where the phases of moves are written before they are acted upon; one writer per service. */
export interface MoveLog {
  /** Becomes the only writer, then reads the newest state of every move. */
  open(): Promise<DataMoveState[]>
  /** Resolves once the state stands. Throws PRODUCER_FENCED once a newer writer has opened the log. */
  append(state: DataMoveState): Promise<void>
  /** Forgets a move that is over. */
  forget(moveId: string): Promise<void>
  close(): Promise<void>
}

/** What a log is made of. */
export interface MoveLogOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  /** Topic of all services, created beforehand; prepared in the codec. */
  readonly topic: string
  readonly service: string
  readonly clock: Clock
}

/** The compacted topic of moves as a log; records of other services are left out. */
export function createMoveLog({ broker, codec, topic, service, clock }: MoveLogOptions): MoveLog {
  let producer: TransactionalProducer | null = null
  let turn: Promise<unknown> = Promise.resolve()

  async function readAll(): Promise<DataMoveState[]> {
    const states = new Map<string, DataMoveState>()
    const reader = broker.readPartitions({
      partitions: [{ topic, partition: 0, from: 'earliest' }],
      until: 'end',
      async onBatch(cursor) {
        while (cursor.next()) {
          const { buffer, keyStart, keyLength, valueStart, valueLength } = cursor
          const key = buffer.toString('utf8', keyStart, keyStart + keyLength)
          states.delete(key)
          if (valueLength < 0) continue
          const end = valueStart + valueLength
          states.set(key, await codec.decodeAsync(buffer, valueStart, end, 'DataMoveState'))
        }
      },
    })
    try {
      await reader.done
    } finally {
      await reader.close()
    }
    return [...states.values()].filter((state) => state.service === service)
  }

  /** One transaction at a time: moves of several segments share the producer. */
  function write(moveId: string, value: Buffer | null): Promise<void> {
    const run = turn.then(() => commit(moveId, value))
    turn = run.catch(() => undefined)
    return run
  }

  async function commit(moveId: string, value: Buffer | null): Promise<void> {
    if (producer === null) throw new ForestallError('TOPOLOGY_INVALID', 'The move log is not open.')
    producer.add(topic, 0, clock.nowMs(), Buffer.from(moveId), value)
    try {
      await producer.commit()
    } catch (error) {
      await producer.abort()
      throw error
    }
  }

  return {
    async open() {
      await producer?.close()
      producer = broker.transactionalProducer({ transactionalId: `forestall-moves-${topic}-${service}` })
      await producer.init()
      return readAll()
    },
    append: (state) => write(state.move_id, codec.encode(topic, 'DataMoveState', state)),
    forget: (moveId) => write(moveId, null),
    async close() {
      await turn
      await producer?.close()
      producer = null
    },
  }
}
