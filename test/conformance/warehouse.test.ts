import * as fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { Warehouse } from '#core/ports'
import { compileCell, createTableSql, ensureTables, RowBytes } from '#core/warehouse'
import { createWarehouse, ensureDatabase } from '#infra/clickhouse'
import { TABLES } from '#schemas'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'

// What every warehouse must do: the embedded one, or the server that CLICKHOUSE_URL names.
failOnLeaks()
const database = uniqueName('conformance')
let warehouse: Warehouse

beforeAll(async () => {
  const options = { url: inject('clickhouseUrl'), database, ...credentials() }
  await ensureDatabase(options)
  warehouse = createWarehouse(options)
})
afterAll(async () => {
  await warehouse.command(`DROP DATABASE IF EXISTS ${database}`)
  await warehouse.close()
})

function credentials(): { user?: string; password?: string } {
  const { CLICKHOUSE_USER: user, CLICKHOUSE_PASSWORD: password } = process.env
  return { ...(user === undefined ? {} : { user }), ...(password === undefined ? {} : { password }) }
}

/** RowBinary of rows of these types. */
function encode(types: readonly string[], rows: readonly unknown[][]): Uint8Array {
  const writers = types.map((type) => compileCell(type))
  const out = new RowBytes()
  for (const row of rows) for (const [i, write] of writers.entries()) write(out, row[i])
  return out.bytes()
}

const numbered = (from: number, count: number): Uint8Array =>
  encode(
    ['UInt64'],
    Array.from({ length: count }, (_, i) => [from + i]),
  )

async function newTable(columns: string, more = ''): Promise<string> {
  const table = uniqueName('t')
  await warehouse.command(
    `CREATE TABLE ${table} (${columns}) ENGINE = ${more === '' ? 'MergeTree ORDER BY tuple()' : more}`,
  )
  return table
}
const count = async (table: string): Promise<number> =>
  (await warehouse.query<{ n: number }>(`SELECT count() AS n FROM ${table}`))[0]?.n ?? -1

describe('statements', () => {
  test('values are bound, whatever they contain', async () => {
    const text = `it's {x:String}; -- \\ "\n\tü\u0000`
    const rows = await warehouse.query('SELECT {s:String} AS s, {n:Int64} AS n, {a:Array(String)} AS a', {
      s: text,
      n: -5,
      a: ["a'", 'b'],
    })
    expect(rows).toEqual([{ s: text, n: -5, a: ["a'", 'b'] }])
  })

  test('64-bit numbers arrive as numbers', async () => {
    expect(await warehouse.query('SELECT toInt64(1767225600000) AS ms')).toEqual([{ ms: 1767225600000 }])
  })

  test('what is refused is WAREHOUSE_REJECTED with the text of the server', async () => {
    const refused = {
      code: 'WAREHOUSE_REJECTED',
      message: expect.stringContaining('UNKNOWN_TABLE') as string,
    }
    await expect(warehouse.query('SELECT * FROM missing')).rejects.toMatchObject(refused)
    await expect(warehouse.command('ALTER TABLE missing DELETE WHERE 1')).rejects.toMatchObject(refused)
    await expect(warehouse.insertRowBinary('missing', ['a'], numbered(0, 1))).rejects.toMatchObject(refused)
  })

  test('a server that does not answer is WAREHOUSE_UNAVAILABLE, and no error shows a password', async () => {
    const gone = createWarehouse({ url: 'http://someone:secret@127.0.0.1:9', attempts: 2 })
    const failure = await gone.query('SELECT 1').catch((error: unknown) => error)
    expect(failure).toMatchObject({ code: 'WAREHOUSE_UNAVAILABLE' })
    expect(String(failure)).not.toContain('secret')
    await gone.close()
  })
})

describe('inserts', () => {
  test('only the columns named are written; the others have their defaults', async () => {
    const table = await newTable("a UInt64, b String DEFAULT 'unset'")
    await warehouse.insertRowBinary(table, ['a'], numbered(1, 1))
    expect(await warehouse.query(`SELECT * FROM ${table}`)).toEqual([{ a: 1, b: 'unset' }])
  })

  test('rows cut short are refused as a whole', async () => {
    const table = await newTable('a UInt64')
    const cut = numbered(0, 10).subarray(0, 77)
    await expect(warehouse.insertRowBinary(table, ['a'], cut)).rejects.toMatchObject({
      code: 'WAREHOUSE_REJECTED',
    })
    expect(await count(table)).toBe(0)
  })

  test('nothing is nothing', async () => {
    const table = await newTable('a UInt64')
    await warehouse.insertRowBinary(table, ['a'], new Uint8Array(0))
    expect(await count(table)).toBe(0)
  })

  test('the same block with the same token is inserted once, even one of several parts', async () => {
    const engine = 'ReplacingMergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 1000'
    const table = await newTable('a UInt64', engine)
    const large = numbered(0, 1_500_000)
    for (let i = 0; i < 3; i++) await warehouse.insertRowBinary(table, ['a'], large, { token: 'first' })
    expect(await count(table)).toBe(1_500_000)
    await warehouse.insertRowBinary(table, ['a'], numbered(0, 5), { token: 'second' })
    expect(await count(table)).toBe(1_500_005)
    expect(await count(`${table} FINAL`)).toBe(1_500_000)
  })

  test('inserts side by side keep apart', async () => {
    const table = await newTable('a UInt64')
    const blocks = Array.from({ length: 30 }, (_, i) =>
      warehouse.insertRowBinary(table, ['a'], numbered(i * 100, 100), { token: `${i}` }),
    )
    await Promise.all(blocks)
    const sums = await warehouse.query(`SELECT count() AS n, sum(a) AS s FROM ${table}`)
    expect(sums).toEqual([{ n: 3000, s: (2999 * 3000) / 2 }])
  })
})

describe('tables', () => {
  test('every declared table can be made, made again, and gets its new columns', async () => {
    await ensureTables(warehouse, TABLES)
    await ensureTables(warehouse, TABLES)
    const [first] = TABLES
    if (first === undefined) throw new Error('there are no tables')
    const added = { name: 'added_later', type: 'Nullable(Float64)', from: 'x', doc: 'New.' }
    await ensureTables(warehouse, [{ ...first, columns: [...first.columns, added] }])
    const columns = await warehouse.query<{ name: string }>(`DESCRIBE TABLE ${first.name}`)
    expect(columns.map((c) => c.name)).toEqual([...first.columns.map((c) => c.name), 'added_later'])
    const made = await warehouse.query<{ name: string }>('SHOW TABLES')
    expect(made.map((r) => r.name)).toEqual(expect.arrayContaining(TABLES.map((t) => t.name)))
  })

  test('a record inserted twice is one row under FINAL, two records are two', async () => {
    const spec = {
      name: uniqueName('t'),
      topics: ['t'],
      record: 'Flow',
      columns: [
        { name: 'k', type: 'String', from: '@key', doc: '' },
        { name: 'p', type: 'Int32', from: '@partition', doc: '' },
        { name: 'o', type: 'Int64', from: '@offset', doc: '' },
      ],
      orderBy: ['k'],
      version: 'o',
      doc: '',
    } as const
    await warehouse.command(createTableSql(spec))
    const rows = [
      ['same', 0, 1],
      ['same', 0, 2],
      ['same', 1, 1],
    ]
    const bytes = encode(['String', 'Int32', 'Int64'], rows)
    for (const token of ['a', 'b'])
      await warehouse.insertRowBinary(spec.name, ['k', 'p', 'o'], bytes, { token })
    expect(await count(`${spec.name} FINAL`)).toBe(3)
  })
})

// JSON has no NaN and cuts wide integers: `shown` is the expression that is read back instead.
const TYPES: Record<
  string,
  { make: fc.Arbitrary<unknown>; shown?: string; expect?: (value: unknown) => unknown }
> = {
  String: { make: fc.string({ unit: 'binary' }).filter((s) => s.isWellFormed()) },
  'LowCardinality(String)': { make: fc.constantFrom('', 'a', 'b'.repeat(200)) },
  Float64: { make: fc.double({ noNaN: true, noDefaultInfinity: true }) },
  'Nullable(Float32)': { make: fc.option(fc.integer({ min: -(2 ** 24), max: 2 ** 24 })) },
  Int8: { make: fc.integer({ min: -128, max: 127 }) },
  UInt8: { make: fc.integer({ min: 0, max: 255 }) },
  Int16: { make: fc.integer({ min: -32768, max: 32767 }) },
  UInt16: { make: fc.integer({ min: 0, max: 65535 }) },
  Int32: { make: fc.integer() },
  UInt32: { make: fc.integer({ min: 0, max: 2 ** 32 - 1 }) },
  Int64: { make: fc.maxSafeInteger() },
  UInt64: { make: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), shown: 'toString', expect: String },
  Bool: { make: fc.boolean() },
  'DateTime64(3)': {
    make: fc.integer({ min: Date.UTC(1900, 0, 1), max: Date.UTC(2299, 11, 31) }),
    shown: 'toUnixTimestamp64Milli',
  },
  DateTime: {
    make: fc.integer({ min: 0, max: 2 ** 32 - 1 }).map((s) => s * 1000),
    shown: 'toUnixTimestamp',
    expect: (v) => (v as number) / 1000,
  },
  'Array(Nullable(Int32))': { make: fc.array(fc.option(fc.integer())) },
  'Array(Array(String))': { make: fc.array(fc.array(fc.string())) },
  'Map(String, Int64)': {
    make: fc.dictionary(fc.string(), fc.maxSafeInteger()),
    expect: (v) => ({ ...(v as object) }),
  },
  'Tuple(a String, b Nullable(Bool))': { make: fc.record({ a: fc.string(), b: fc.option(fc.boolean()) }) },
  'Array(Tuple(name LowCardinality(String), weight Float64))': {
    make: fc.array(fc.record({ name: fc.string(), weight: fc.integer() })),
  },
}

describe('what is written is what is read', () => {
  test('random rows of every type', async () => {
    const entries = Object.entries(TYPES)
    const types = entries.map(([type]) => type)
    const names = types.map((_, i) => `c${i}`)
    const table = await newTable(['row UInt32', ...types.map((type, i) => `c${i} ${type}`)].join(', '))
    const shown = entries.map(([, t], i) => (t.shown === undefined ? `c${i}` : `${t.shown}(c${i}) AS c${i}`))
    const rowsOf = fc.array(fc.tuple(...entries.map(([, t]) => t.make)), { minLength: 1, maxLength: 50 })
    await fc.assert(
      fc.asyncProperty(rowsOf, async (rows) => {
        await warehouse.command(`TRUNCATE TABLE ${table}`)
        const bytes = encode(
          ['UInt32', ...types],
          rows.map((row, i) => [i, ...row]),
        )
        await warehouse.insertRowBinary(table, ['row', ...names], bytes)
        const read = await warehouse.query<Record<string, unknown>>(
          `SELECT ${shown.join(', ')} FROM ${table} ORDER BY row`,
        )
        const expected = rows.map((row) =>
          Object.fromEntries(row.map((value, i) => [`c${i}`, entries[i]?.[1].expect?.(value) ?? value])),
        )
        expect(read).toEqual(expected)
      }),
      { numRuns: 40 },
    )
  })
})
