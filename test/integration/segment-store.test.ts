import { afterAll, beforeAll, expect, test } from 'vitest'
import { createHttpReplica, createSegmentStore } from '#infra/query-router'
import { failOnLeaks } from '../support/leaks.ts'
import { type Instances, startInstances } from './query-router-world.ts'

failOnLeaks()

let instances: Instances
beforeAll(async () => {
  instances = await startInstances(2)
})
afterAll(() => instances.stop())

async function at(instance: number, sql: string): Promise<string> {
  const answer = await fetch(instances.list[instance]?.url ?? '', { method: 'POST', body: sql })
  const text = (await answer.text()).trim()
  if (!answer.ok) throw new Error(text)
  return text
}

/** A table with rows at the first instance, empty at the second, and the stores of both. */
async function openTable(table: string, rows: number) {
  for (const i of [0, 1])
    await at(
      i,
      `CREATE TABLE ${table} (k UInt64, note String) ENGINE = MergeTree PARTITION BY k % 3 ORDER BY k`,
    )
  await at(0, `INSERT INTO ${table} SELECT number, repeat('x', 100) FROM numbers(${rows})`)
  const [from, to] = instances.list.map(({ url }) => createSegmentStore(url))
  if (from === undefined || to === undefined) throw new Error('no instances')
  const tables = [{ database: 'default', table, condition: 'k % 2 = 0' }]
  for (const store of [from, to]) await store.stage('m', tables)
  await from.snapshot('m', tables)
  return {
    from,
    to,
    tables,
    close: async (): Promise<void> => {
      for (const store of [from, to]) await store.discard('m')
      from.close()
      to.close()
    },
  }
}

test('tables that were changed after a copy refuse it in words that end the attempt', async () => {
  const { from, to, tables, close } = await openTable('changed', 100)
  await to.copyFrom(from, 'm', tables)
  await at(1, 'ALTER TABLE changed ADD COLUMN more String')
  // No cause: it is the instance that says so, not that it could not be asked.
  const refusal: unknown = await to.attach('m', tables).catch((error: unknown) => error)
  expect(refusal).toMatchObject({ message: expect.stringContaining('different structure') })
  expect(refusal).not.toHaveProperty('cause')
  await at(1, 'ALTER TABLE changed DROP COLUMN more, DROP COLUMN note')
  await expect(to.attach('m', tables)).rejects.toThrow('different structure')
  expect(await at(1, 'SELECT count() FROM changed')).toBe('0')
  // Rows of before the statement, as a segment that joins brings them.
  const replica = createHttpReplica(instances.list[1]?.url ?? '')
  const target = { database: 'default', table: 'changed', columns: ['k', 'note'] }
  await expect(replica.insert(target, Buffer.from([1, 0]), 'token')).rejects.toMatchObject({
    code: 'WAREHOUSE_REJECTED',
  })
  replica.close()
  await close()
})

test('a copy that is broken off ends at once and can begin anew', async () => {
  const { from, to, tables, close } = await openTable('large', 200_000)
  const stopping = new AbortController()
  const copying = to.copyFrom(from, 'm', tables, stopping.signal)
  setImmediate(() => stopping.abort())
  await expect(copying).rejects.toMatchObject({ code: 'WAREHOUSE_UNAVAILABLE' })
  // The staged table is there and can be used again at once.
  await to.copyFrom(from, 'm', tables)
  expect(await to.fingerprint(tables, 'm')).toEqual(await from.fingerprint(tables, 'm'))
  await close()
})

test('nothing is changed once it is another’s turn', async () => {
  const { tables, close } = await openTable('turn', 10)
  let isOurs = true
  const store = createSegmentStore(instances.list[0]?.url ?? '', [], () => isOurs)
  const before = await store.fingerprint(tables)
  isOurs = false
  const refused = { code: 'DATA_PLANE_UNREACHABLE' }
  await expect(store.clear(tables)).rejects.toMatchObject(refused)
  await expect(store.stage('m', tables)).rejects.toMatchObject(refused)
  await expect(store.snapshot('m', tables)).rejects.toMatchObject(refused)
  await expect(store.copyFrom(store, 'm', tables)).rejects.toMatchObject(refused)
  expect(await store.fingerprint(tables)).toEqual(before)
  store.close()
  await close()
})

test.each(['ReplacingMergeTree', 'ReplacingMergeTree(v)', 'SummingMergeTree(v)'])(
  '%s: what one replica has merged and the other has not is the same',
  async (engine) => {
    const table = engine.replaceAll(/\W/g, '_')
    for (const i of [0, 1]) {
      await at(i, `CREATE TABLE ${table} (k UInt64, v UInt64) ENGINE = ${engine} ORDER BY k`)
      await at(i, `SYSTEM STOP MERGES ${table}`)
    }
    for (const v of [5, 7, 6]) await at(0, `INSERT INTO ${table} SELECT number, ${v} FROM numbers(20)`)
    const [from, to] = instances.list.map(({ url }) => createSegmentStore(url))
    if (from === undefined || to === undefined) throw new Error('no instances')
    const tables = [{ database: 'default', table, condition: 'k % 2 = 0' }]
    for (const store of [from, to]) await store.stage('m', tables)
    await from.snapshot('m', tables)
    expect(await at(0, `SELECT count() FROM ${table}`)).toBe('60')
    await to.copyFrom(from, 'm', tables)
    expect(await to.fingerprint(tables, 'm')).toEqual(await from.fingerprint(tables, 'm'))
    await to.attach('m', tables)
    // What the log brings afterwards collapses with what was copied.
    for (const i of [0, 1])
      await at(i, `INSERT INTO ${table} SELECT number * 2, 9 FROM numbers(10) WHERE number < 5`)
    const compared = await from.fingerprint(tables)
    expect(await to.fingerprint(tables)).toEqual(compared)
    expect(compared.rows).toBe(10)
    for (const store of [from, to]) {
      await store.discard('m')
      store.close()
    }
  },
)
