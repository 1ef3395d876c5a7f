import type { RecordCodec } from '#core/codec'
import type { Broker, PartitionReader, RecordCursor } from '#core/ports'
import type { DataMoveState } from '#schemas'

/** The moves of a service as whoever carries them out has written them down. */
export interface MoveWatch {
  /** Resolves once everything that stands has been read. */
  start(): Promise<void>
  states(): Iterable<DataMoveState>
  stop(): Promise<void>
}

/** What a watch is made of. */
export interface MoveWatchOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  /** Topic of all services; it exists. */
  readonly topic: string
  readonly service: string
  readonly onChange: () => void
  readonly onWarning: (error: Error) => void
}

/** A watch; it reads nothing before `start`. */
export function createMoveWatch(options: MoveWatchOptions): MoveWatch {
  const { broker, codec, topic, service, onChange, onWarning } = options
  const moves = new Map<string, DataMoveState>()
  let reader: PartitionReader | null = null

  async function take(cursor: RecordCursor): Promise<void> {
    while (cursor.next()) {
      const { buffer, keyStart, keyLength, valueStart, valueLength } = cursor
      if (keyLength < 0) continue
      const id = buffer.toString('utf8', keyStart, keyStart + keyLength)
      moves.delete(id)
      if (valueLength < 0) continue
      const state = await codec.decodeAsync(buffer, valueStart, valueStart + valueLength, 'DataMoveState')
      if (state.service === service) moves.set(id, state)
    }
    onChange()
  }

  const read = (from: number | 'earliest', until: 'end' | 'forever'): PartitionReader =>
    broker.readPartitions({
      partitions: [{ topic, partition: 0, from }],
      until,
      onBatch: take,
      onError: onWarning,
    })

  return {
    async start() {
      const standing = read('earliest', 'end')
      await standing.done
      reader = read(standing.position({ topic, partition: 0 }), 'forever')
      await standing.close()
    },
    states: () => moves.values(),
    async stop() {
      await reader?.close()
      reader = null
    },
  }
}
