import type { Broker, Warehouse } from '#core/ports'
import { createPause, systemTimers } from '#core/ports'
import { END_OF_INPUT_MS, readMark } from '#core/runtime'
import { partitionCount } from '../demo/topic-reader.ts'

/** A feature topic and the table it ends up in. */
const FEATURES = [
  ['features.streams', 'features_streams'],
  ['features.regions', 'features_regions'],
] as const

const LOOK_MS = 500

interface TopicState {
  /** Partitions whose writer has told that it passed the end of the input. */
  readonly ended: number
  readonly partitions: number
  /** Committed records with a value. */
  readonly rows: number
}

/** What stands, committed, in a feature topic. */
async function stateOf(broker: Broker, topic: string): Promise<TopicState> {
  const partitions = await partitionCount(broker, topic)
  const ended = new Set<number>()
  let rows = 0
  const reader = broker.readPartitions({
    partitions: Array.from({ length: partitions }, (_, partition) => ({
      topic,
      partition,
      from: 'earliest',
    })),
    until: 'stable',
    onBatch(cursor) {
      while (cursor.next()) {
        if (cursor.valueLength >= 0) rows++
        else if ((readMark(cursor)?.watermarkMs ?? 0) >= END_OF_INPUT_MS) ended.add(cursor.partition)
      }
    },
  })
  try {
    await reader.done
  } finally {
    await reader.close()
  }
  return { ended: ended.size, partitions, rows }
}

async function rowsIn(warehouse: Warehouse, table: string): Promise<number> {
  const [row] = await warehouse.query<{ n: unknown }>(`SELECT count() AS n FROM ${table} FINAL`)
  return Number(row?.n ?? 0)
}

async function isFlushed(broker: Broker, warehouse: Warehouse, prefix: string): Promise<string | null> {
  for (const [topic, table] of FEATURES) {
    const { ended, partitions, rows } = await stateOf(broker, `${prefix}${topic}`)
    if (partitions === 0 || ended < partitions) return `${topic}: ${ended} of ${partitions} partitions ended`
    const found = await rowsIn(warehouse, table)
    if (found < rows) return `${table}: ${found} of ${rows} rows`
  }
  return null
}

/**
 * Waits until every window has been flushed to Kafka and all of them are in the warehouse. Returns null, or in words
 * what is still missing at the deadline.
 */
export async function untilFlushed(
  broker: Broker,
  warehouse: Warehouse,
  prefix: string,
  limitMs: number,
): Promise<string | null> {
  const pause = createPause(systemTimers)
  const deadline = performance.now() + limitMs
  for (;;) {
    const missing = await isFlushed(broker, warehouse, prefix).catch((error: unknown) => String(error))
    if (missing === null || performance.now() > deadline) return missing
    await pause.wait(LOOK_MS)
  }
}
