import { Buffer } from 'node:buffer'
import { readLatest, type RecordCodec } from '#core/codec'
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
    const values = [...(await readLatest(broker, topic)).values()]
    const states = await Promise.all(
      values.map((value) => codec.decodeAsync(value, 0, value.length, 'DataMoveState')),
    )
    return states.filter((state) => state.service === service)
  }

  /** One transaction at a time: moves of several segments share the producer. */
  function write(moveId: string, value: Buffer | null): Promise<void> {
    const run = turn.then(() => commit(moveId, value))
    turn = run.catch(() => undefined)
    return run
  }

  async function commit(moveId: string, value: Buffer | null): Promise<void> {
    if (producer === null) throw new ForestallError('TOPOLOGY_INVALID', 'The move log is not open.')
    try {
      // Throws, too, as long as an earlier failure has not been cleaned up.
      producer.add(topic, 0, clock.nowMs(), Buffer.from(moveId), value)
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
