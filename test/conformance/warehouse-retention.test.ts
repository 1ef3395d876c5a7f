import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import type { Warehouse } from '#core/ports'
import { ensureTables, type Retention } from '#core/warehouse'
import { createWarehouse, ensureDatabase } from '#infra/clickhouse'
import { tableSpec } from '#schemas'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()
const FEATURES = tableSpec('features_streams')
const DECISIONS = tableSpec('decisions')
const LETTERS = tableSpec('dead_letters')
const TABLES = [FEATURES, DECISIONS, LETTERS]
const named = uniqueName('retention')
const databases = { live: named, replay: `${named}_replay` }
let live: Warehouse
let replay: Warehouse

async function open(database: string): Promise<Warehouse> {
  const { CLICKHOUSE_USER: user, CLICKHOUSE_PASSWORD: password } = process.env
  const known = {
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
  }
  const options = { url: inject('clickhouseUrl'), database, ...known }
  await ensureDatabase(options)
  return createWarehouse(options)
}

beforeAll(async () => {
  live = await open(databases.live)
  replay = await open(databases.replay)
})
afterAll(async () => {
  for (const [warehouse, database] of [
    [live, databases.live],
    [replay, databases.replay],
  ] as const) {
    await warehouse.command(`DROP DATABASE IF EXISTS ${database}`)
    await warehouse.close()
  }
})

const keep = (short: number, long: number, alter = true): Retention => ({
  days: { short, long },
  alters: { short: alter, long: alter },
})

/** A row per age in days of the column that a table is kept by. */
async function fill(warehouse: Warehouse, ages: readonly number[]): Promise<void> {
  for (const table of TABLES) {
    const column = table.retention?.column ?? ''
    const values = ages.map((age) => `(now64(3) - toIntervalDay(${age}), ${age})`)
    await warehouse.command(`INSERT INTO ${table.name} (${column}, kafka_offset) VALUES ${values.join(', ')}`)
  }
}

/** Ages of the rows that are there; merges are made to run. */
async function agesIn(warehouse: Warehouse, table: string): Promise<number[]> {
  await warehouse.command(`OPTIMIZE TABLE ${table} FINAL`)
  const rows = await warehouse.query<{ age: number }>(`SELECT kafka_offset AS age FROM ${table} ORDER BY age`)
  return rows.map(({ age }) => age)
}

/** Waits until every table holds rows of exactly these ages. */
async function untilHeld(warehouse: Warehouse, ages: { short: number[]; long: number[] }): Promise<void> {
  for (const { name, retention } of TABLES) {
    const wanted = JSON.stringify(ages[retention?.kept ?? 'long'])
    await until(async () => JSON.stringify(await agesIn(warehouse, name)) === wanted, { what: name })
  }
}

async function stateOf(warehouse: Warehouse, table: string) {
  const [row] = await warehouse.query<{ engine: string; changed: string }>(
    `SELECT engine_full AS engine, toString(metadata_modification_time) AS changed
     FROM system.tables WHERE database = currentDatabase() AND name = {table:String}`,
    { table },
  )
  const [mutations] = await warehouse.query<{ n: number }>(
    'SELECT count() AS n FROM system.mutations WHERE database = currentDatabase() AND table = {table:String}',
    { table },
  )
  return { engine: row?.engine ?? '', changed: row?.changed ?? '', mutations: mutations?.n ?? -1 }
}

const MONTHS = 31
const AGES = [0, 40, 89, 90 + MONTHS, 390, 400 + MONTHS, 8000]

test('old rows go, new ones stay; those of a replay are kept whatever their age', async () => {
  await ensureTables(live, TABLES, keep(90, 400, false))
  await ensureTables(replay, TABLES)
  await fill(live, AGES)
  await fill(replay, AGES)
  await untilHeld(live, { short: [0, 40, 89], long: [0, 40, 89, 121, 390] })
  for (const { name } of TABLES) expect(await agesIn(replay, name)).toEqual(AGES)
})

test('days that change reach tables that exist, and what is in them; the same days change nothing', async () => {
  for (const { name } of TABLES) await replay.command(`DROP TABLE ${name} SYNC`)
  // As tables of an older version are: without a TTL.
  await ensureTables(replay, TABLES)
  await fill(replay, AGES)
  await ensureTables(replay, TABLES, keep(90, 400, false))
  for (const { name } of TABLES) expect(await agesIn(replay, name)).toEqual(AGES)

  await ensureTables(replay, TABLES, keep(30, 100))
  await untilHeld(replay, { short: [0], long: [0, 40, 89] })
  const before = await Promise.all(TABLES.map(({ name }) => stateOf(replay, name)))
  expect(before[0]?.engine).toContain('TTL toDateTime(window_start_ms) + toIntervalDay(30)')
  await ensureTables(replay, TABLES, keep(30, 100))
  expect(await Promise.all(TABLES.map(({ name }) => stateOf(replay, name)))).toEqual(before)

  await ensureTables(replay, TABLES, keep(0, 100))
  expect((await stateOf(replay, FEATURES.name)).engine).not.toContain('TTL ')
  await fill(replay, [50])
  expect(await agesIn(replay, FEATURES.name)).toEqual([0, 50])
})
