import { expect, test } from 'vitest'
import { compileRows, RowBytes } from '#core/warehouse'
import { TABLES } from '#schemas'
import { cursorAt, TABLE } from './fixtures.ts'

const text = (s: string): number[] => [s.length, ...Buffer.from(s)]
const i64 = (n: number): number[] => [...new Uint8Array(new BigInt64Array([BigInt(n)]).buffer)]

test('fields, nested fields, JSON and the parts of the Kafka record become cells', () => {
  const rows = compileRows(TABLE, 'replay.')
  const out = new RowBytes()
  const record = { value: null, meta: { unit: 'ms', tags: [1] } }
  rows.encode(out, record, cursorAt(5, 'id', false, 'replay.telemetry.readings'))
  const expected = [
    ...text('telemetry.readings'),
    ...text('id'),
    1,
    ...text('ms'),
    ...text('[1]'),
    ...i64(1_000_005),
    0,
    3,
    0,
    0,
    0,
    ...i64(5),
  ]
  expect([...out.bytes()]).toEqual(expected)
  expect(rows.columns).toEqual(TABLE.columns.map((c) => c.name))
})

test('a tombstone has its key and the defaults of the other columns', () => {
  const rows = compileRows(TABLE)
  expect(rows.keepsTombstones).toBe(true)
  const out = new RowBytes()
  rows.encode(out, null, cursorAt(6, 'id', true))
  const expected = [
    ...text('telemetry.readings'),
    ...text('id'),
    1,
    0,
    0,
    ...i64(1_000_006),
    1,
    3,
    0,
    0,
    0,
    ...i64(6),
  ]
  expect([...out.bytes()]).toEqual(expected)
})

test('a record without key has an empty one', () => {
  const out = new RowBytes()
  compileRows(TABLE).encode(out, {}, cursorAt(1, null))
  expect(out.bytes()[1 + 'telemetry.readings'.length]).toBe(0)
})

test('a value that does not fit names its column and leaves the rows before it alone', () => {
  const rows = compileRows(TABLE)
  const out = new RowBytes()
  rows.encode(out, { value: 1 }, cursorAt(1))
  const before = [...out.bytes()]
  const wrong = () => rows.encode(out, { value: 1, meta: { unit: 7 } }, cursorAt(2))
  expect(wrong).toThrow(
    expect.objectContaining({
      code: 'RECORD_INVALID',
      message: expect.stringContaining('readings.unit') as string,
    }),
  )
  expect([...out.bytes()]).toEqual(before)
})

test('every declared table compiles', () => {
  for (const table of TABLES) expect(compileRows(table).columns).toHaveLength(table.columns.length)
})
