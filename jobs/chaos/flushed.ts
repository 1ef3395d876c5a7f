import type { Broker, Warehouse } from '#core/ports'
import { createPause, systemTimers } from '#core/ports'
import { END_OF_INPUT_MS, readMark } from '#core/runtime'
import { scanTopic } from '../topic-reader.ts'

/** A feature topic and the table it ends up in. */
const FEATURES = [
  ['features.streams', 'features_streams'],
  ['features.regions', 'features_regions'],
] as const

const LOOK_MS = 1000

interface TopicState {
  /** Partitions whose writer has told that it passed the end of the input. */
  readonly ended: number
  readonly partitions: number
  /** Committed records with a value. */
  readonly rows: number
}

/** What stands, committed, in a feature topic. */
async function stateOf(broker: Broker, topic: string): Promise<TopicState> {
  const ended = new Set<number>()
  let rows = 0
  const partitions = await scanTopic(
    broker,
    topic,
    (cursor) => {
      if (cursor.valueLength >= 0) rows++
      else if ((readMark(cursor)?.watermarkMs ?? 0) >= END_OF_INPUT_MS) ended.add(cursor.partition)
    },
    { until: 'stable' },
  )
  return { ended: ended.size, partitions, rows }
}

async function rowsIn(warehouse: Warehouse, table: string): Promise<number> {
  const [row] = await warehouse.query<{ n: unknown }>(`SELECT count() AS n FROM ${table} FINAL`)
  return Number(row?.n ?? 0)
}

/** What is missing, null if nothing is, and how much is there. */
interface Progress {
  readonly missing: string | null
  readonly rows: number
}

async function lookAt(broker: Broker, warehouse: Warehouse, prefix: string): Promise<Progress> {
  const missing: string[] = []
  let there = 0
  for (const [topic, table] of FEATURES) {
    const { ended, partitions, rows } = await stateOf(broker, `${prefix}${topic}`)
    const found = await rowsIn(warehouse, table)
    there += rows + found
    if (partitions === 0 || ended < partitions)
      missing.push(`${topic}: ${ended} of ${partitions} partitions ended`)
    else if (found < rows) missing.push(`${table}: ${found} of ${rows} rows`)
  }
  return { missing: missing[0] ?? null, rows: there }
}

/**
 * Waits until every window has been flushed to Kafka and all of them are in the warehouse. Returns null, or in words
 * what is still missing once nothing has come for `stillMs`: on a busy machine there may be minutes to catch up with.
 */
export async function untilFlushed(
  broker: Broker,
  warehouse: Warehouse,
  prefix: string,
  stillMs: number,
): Promise<string | null> {
  const pause = createPause(systemTimers)
  let last: Progress = { missing: 'nothing can be read', rows: -1 }
  let movedMs = performance.now()
  for (;;) {
    const now = await lookAt(broker, warehouse, prefix).catch((error: unknown) => ({
      missing: String(error),
      rows: last.rows,
    }))
    if (now.missing === null) return null
    if (now.rows !== last.rows) movedMs = performance.now()
    if (performance.now() - movedMs > stillMs) return now.missing
    last = now
    await pause.wait(LOOK_MS)
  }
}
