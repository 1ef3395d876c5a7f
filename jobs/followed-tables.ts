import type { RecordCodec } from '#core/codec'
import { fillableTables, type FillableTables, type ForecastTables } from '#core/forecasting'
import { type Broker, createPause, ForestallError, type PartitionReader, systemTimers } from '#core/ports'
import { topicName } from '#schemas'

const RETRY_MS = 1000

/** The calendar and the champions, read from their topics and followed. */
export interface FollowedTables extends ForecastTables, Pick<FillableTables, 'netStates'> {
  stop(): Promise<void>
}

/** A table that one compacted topic fills. */
interface Followed {
  readonly topic: string
  put(key: string, value: Buffer | null): Promise<void>
}

/**
 * Reads `events.calendar` and `models` from their beginnings and follows them until `stop`. A record that cannot be read is said and left out: what stood
 * before it stands on. Nothing is read before the first `ready`.
 */
export function followTables(
  broker: Broker,
  codec: RecordCodec,
  prefix: string,
  onWarning: (error: Error) => void,
): FollowedTables {
  const tables: FillableTables = fillableTables()
  const decoded = <R extends 'CalendarEvent' | 'Model'>(record: R, value: Buffer) =>
    codec.decodeAsync(value, 0, value.length, record)
  const followers = [
    follow(broker, onWarning, {
      topic: topicName('events.calendar', prefix),
      put: async (key, value) =>
        tables.putEvent(key, value === null ? null : await decoded('CalendarEvent', value)),
    }),
    follow(broker, onWarning, {
      topic: topicName('models', prefix),
      put: async (key, value) => tables.putModel(key, value === null ? null : await decoded('Model', value)),
    }),
  ]
  return {
    ...tables,
    ready: async () => void (await Promise.all(followers.map((follower) => follower.ready()))),
    stop: async () => void (await Promise.all(followers.map((follower) => follower.stop()))),
  }
}

interface Follower {
  ready(): Promise<void>
  stop(): Promise<void>
}

function follow(broker: Broker, onWarning: (error: Error) => void, table: Followed): Follower {
  const positions = new Map<number, number>()
  const caughtUp = Promise.withResolvers<void>()
  const pause = createPause(systemTimers)
  let reader: PartitionReader | undefined
  let running: Promise<void> | undefined
  const state = { stopped: false }

  const read = async (count: number, until: 'stable' | 'forever'): Promise<void> => {
    reader = broker.readPartitions({
      partitions: Array.from({ length: count }, (_, partition) => ({
        topic: table.topic,
        partition,
        from: positions.get(partition) ?? 'earliest',
      })),
      until,
      onBatch: async (cursor) => {
        while (!state.stopped && cursor.next()) {
          if (cursor.keyLength >= 0) await putRecord(table, cursor, onWarning)
          positions.set(cursor.partition, cursor.offset + 1)
        }
        if (!state.stopped) positions.set(cursor.partition, cursor.nextOffset)
      },
    })
    try {
      await reader.done
    } finally {
      await reader.close()
      reader = undefined
    }
  }

  const run = async (): Promise<void> => {
    while (!state.stopped) {
      try {
        const count = await partitionsOf(broker, table.topic)
        await read(count, 'stable')
        caughtUp.resolve()
        if (!state.stopped) await read(count, 'forever')
      } catch (error) {
        if (state.stopped) return
        onWarning(error as Error)
        await pause.wait(RETRY_MS)
      }
    }
  }

  return {
    ready: () => {
      running ??= run()
      return caughtUp.promise
    },
    stop: async () => {
      state.stopped = true
      pause.end()
      await reader?.close()
      await running
      caughtUp.resolve() // a round that waits while everything stops
    },
  }
}

type Cursor = Parameters<Parameters<Broker['readPartitions']>[0]['onBatch']>[0]

async function putRecord(table: Followed, cursor: Cursor, onWarning: (error: Error) => void): Promise<void> {
  const { buffer, keyStart, keyLength, valueStart, valueLength, partition, offset } = cursor
  const key = buffer.toString('utf8', keyStart, keyStart + keyLength)
  try {
    await table.put(key, valueLength < 0 ? null : buffer.subarray(valueStart, valueStart + valueLength))
  } catch (cause) {
    const where = `${table.topic} partition ${partition} offset ${offset}`
    onWarning(new ForestallError('RECORD_UNDECODABLE', `${where}: ${(cause as Error).message}`, { cause }))
  }
}

async function partitionsOf(broker: Broker, topic: string): Promise<number> {
  const admin = broker.admin()
  try {
    const count = (await admin.partitions([topic])).get(topic)
    if (count === undefined) throw new ForestallError('NOT_FOUND', `Topic ${topic} does not exist.`)
    return count
  } finally {
    await admin.close()
  }
}
