import { Buffer } from 'node:buffer'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { compileCell, RowBytes } from '#core/warehouse'
import { type ClickHouseProcess, createWarehouse, startClickHouse } from '#infra/clickhouse'
import { createHttpReplica } from '#infra/query-router'
import { failOnLeaks } from '../support/leaks.ts'

/**
 * A ClickHouse without Keeper writes the token of a block before its part gets its name. Here the state that a kill
 * between the two leaves is made by hand: killed, and the parts of the block removed before it starts again.
 */
failOnLeaks()
const dir = mkdtempSync(join(tmpdir(), 'forestall-tokens-'))
let host: ClickHouseProcess
let port = 0
const start = async (): Promise<void> => {
  host = await startClickHouse({ dataDir: join(dir, 'data'), logFile: join(dir, 'log'), port })
  port = Number(new URL(host.url).port)
}
beforeAll(start)
afterAll(async () => {
  await host.stop()
  rmSync(dir, { recursive: true, force: true })
})

const sql = async (query: string): Promise<string> => {
  const answer = await fetch(host.url, { method: 'POST', body: query })
  const text = await answer.text()
  if (answer.status !== 200) throw new Error(text)
  return text.trim()
}

/** Kills it; `gone`: parts of the table that are not there when it comes back. */
async function kill(
  table: string,
  gone: (part: string) => boolean,
  whileDown = async () => {},
): Promise<void> {
  const path = await sql(`SELECT any(data_paths[1]) FROM system.tables WHERE name = '${table}' FORMAT TSVRaw`)
  process.kill(host.pid, 'SIGKILL')
  for (;;) {
    try {
      process.kill(host.pid, 0)
      await new Promise(setImmediate)
    } catch {
      break
    }
  }
  for (const part of readdirSync(path).filter(gone)) rmSync(join(path, part), { recursive: true })
  await whileDown()
  await start()
}

/** Rows (k String, n UInt64) in RowBinary. */
const rowsOf = (...rows: readonly (readonly [string, number])[]): Uint8Array => {
  const out = new RowBytes()
  const [text, number] = [compileCell('String'), compileCell('UInt64')]
  for (const [k, n] of rows) {
    text(out, k)
    number(out, n)
  }
  return Buffer.from(out.bytes())
}

const create = (table: string): Promise<string> =>
  sql(`CREATE TABLE ${table} (k String, n UInt64) ENGINE = MergeTree PARTITION BY n % 2 ORDER BY k`)
const all = (table: string): Promise<string> =>
  sql(`SELECT arrayStringConcat(arraySort(groupArray(k)), ' ') FROM ${table}`)
const target = (table: string) => ({ database: 'default', table, columns: ['k', 'n'] })
const isPart = (part: string): boolean => /^\d+_\d+_\d+_\d+/.test(part)

test('rows that were lost with a token come back, those that are there do not come twice', async () => {
  await create('a')
  const first = createHttpReplica(host.url)
  expect(await first.loadApplied('log')).toEqual([])
  const state = { partition: 0, version: 1, next: 1, segments: [0], joining: [] }
  await first.insert(target('a'), rowsOf(['p', 0], ['q', 1]), 'block 0')
  await first.saveApplied('log', state)
  const before = createHttpReplica(host.url)
  expect(await before.loadApplied('log')).toEqual([{ ...state, hasRestarted: false }])
  before.close()
  await first.insert(target('a'), rowsOf(['r', 2], ['s', 3]), 'block 1')
  first.close()

  // Of the second block, one of two parts.
  const last = await sql(
    "SELECT argMax(name, min_block_number) FROM system.parts WHERE table = 'a' AND partition_id = '0'",
  )
  await kill('a', (part) => part === last)
  expect(await all('a')).toBe('p q s')
  const second = createHttpReplica(host.url)
  expect(await second.loadApplied('log')).toEqual([{ ...state, hasRestarted: true }])
  await second.insert(target('a'), rowsOf(['r', 2], ['s', 3]), 'block 1')
  expect(await all('a'), 'ClickHouse has lost them').toBe('p q s')
  for (const token of ['block 1', 'block 1'])
    await second.insert(target('a'), rowsOf(['r', 2], ['s', 3]), token, true)
  await second.insert(target('a'), rowsOf(['p', 0], ['q', 1]), 'block 0', true)
  expect(await all('a')).toBe('p q r s')
  // Until all that may be known has been sent again, the doubt stays.
  await second.saveApplied('log', { ...state, version: 2, hasRestarted: true })
  expect(await second.loadApplied('log')).toMatchObject([{ hasRestarted: true }])
  await second.saveApplied('log', { ...state, version: 3 })
  expect(await second.loadApplied('log')).toMatchObject([{ hasRestarted: false }])
  second.close()
})

test('rows that were merged before the kill are known by the parts that they were in', async () => {
  await create('b')
  const first = createHttpReplica(host.url)
  await first.insert(target('b'), rowsOf(['p', 0], ['q', 1]), 'block 0')
  await first.insert(target('b'), rowsOf(['r', 2]), 'block 1')
  await sql('OPTIMIZE TABLE b FINAL')
  await sql(`DELETE FROM b WHERE k = 'q' SETTINGS lightweight_deletes_sync = 2`)
  first.close()
  await kill('b', () => false)
  const second = createHttpReplica(host.url)
  await second.loadApplied('log')
  await second.insert(target('b'), rowsOf(['p', 0], ['q', 1]), 'block 0', true)
  await second.insert(target('b'), rowsOf(['r', 2]), 'block 1', true)
  expect(await all('b')).toBe('p r')
  second.close()
})

test('an insert whose end is not known is made sure of when it is repeated', async () => {
  await create('c')
  const replica = createHttpReplica(host.url)
  await replica.loadApplied('other')
  await replica.insert(target('c'), rowsOf(['p', 0]), 'block 0')
  await kill('c', isPart, async () => {
    await expect(replica.insert(target('c'), rowsOf(['p', 0]), 'block 0')).rejects.toMatchObject({
      code: 'WAREHOUSE_UNAVAILABLE',
    })
  })
  await replica.insert(target('c'), rowsOf(['p', 0]), 'block 0')
  expect(await all('c')).toBe('p')
  replica.close()
})

test('the sink inserts a block once more after a restart, and its table collapses what was there', async () => {
  await sql(
    'CREATE TABLE d (k String, n UInt64) ENGINE = ReplacingMergeTree ORDER BY k SETTINGS non_replicated_deduplication_window = 1000',
  )
  const warehouse = createWarehouse({ url: host.url })
  const insert = (token: string, k: string): Promise<void> =>
    warehouse.insertRowBinary('d', ['k', 'n'], rowsOf([k, 0]), { token })
  for (const [token, k] of [
    ['block 0', 'p'],
    ['block 1', 'q'],
    ['block 1', 'q'],
  ] as const)
    await insert(token, k)
  expect(await all('d'), 'a token counts within a life').toBe('p q')
  await kill('d', (part) => part.startsWith('all_2_'))
  expect(await all('d')).toBe('p')
  const next = createWarehouse({ url: host.url })
  for (const [token, k] of [
    ['block 0', 'p'],
    ['block 1', 'q'],
  ] as const)
    await next.insertRowBinary('d', ['k', 'n'], rowsOf([k, 0]), { token })
  expect(await all('d FINAL')).toBe('p q')
  await Promise.all([warehouse.close(), next.close()])
})
