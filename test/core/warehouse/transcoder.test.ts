import { Buffer } from 'node:buffer'
import avro from 'avsc'
import { describe, expect, test } from 'vitest'
import type { RecordCursor } from '../../../pipelines/core/ports/index.ts'
import { compileRows, RowBytes } from '../../../pipelines/core/warehouse/index.ts'
import { compileTranscoder } from '../../../pipelines/core/warehouse/transcoder.ts'
import { AVRO, TABLES, type TableSpec } from '../../../schemas/index.ts'

const tableOf = (name: string): TableSpec => {
  const table = TABLES.find((t) => t.name === name)
  if (table === undefined) throw new Error(`no table ${name}`)
  return table
}

function cursorOf(key: Buffer | null, value: Buffer, offset: number): RecordCursor {
  const buffer = Buffer.concat([key ?? Buffer.alloc(0), value])
  const keyLength = key?.length ?? 0
  return {
    topic: 'features.streams',
    partition: offset % 7,
    buffer,
    offset,
    timestampMs: 1_700_000_000_000 + offset,
    keyStart: 0,
    keyLength: key === null ? -1 : keyLength,
    valueStart: keyLength,
    valueLength: value.length,
    headersStart: buffer.length,
    recordEnd: buffer.length,
    nextOffset: offset + 1,
    recordCount: 1,
    next: () => false,
  }
}

/** The row of the general encoder; null if it refuses the record. */
function general(table: TableSpec, type: avro.Type, cursor: RecordCursor): Uint8Array | null {
  const out = new RowBytes()
  try {
    const value = type.fromBuffer(cursor.buffer.subarray(cursor.valueStart, cursor.recordEnd)) as object
    compileRows(table).encode(out, value, cursor)
    return Buffer.from(out.bytes())
  } catch {
    return null
  }
}

function transcoded(table: TableSpec, schema: string, cursor: RecordCursor): Uint8Array | null {
  const out = new RowBytes(16)
  const transcode = compileTranscoder(table, schema)
  return transcode?.(out, cursor, cursor.valueStart, cursor.recordEnd) === true
    ? Buffer.from(out.bytes())
    : null
}

describe.each([
  'features_streams',
  'features_regions',
  'forecasts_traffic',
  'scenarios_traffic',
  'risks_traffic',
  'features_queries',
])('table %s', (name) => {
  const table = tableOf(name)
  const schema = AVRO[table.record]
  const type = avro.Type.forSchema(JSON.parse(schema) as avro.Schema)

  test('rows equal those of the general encoder, byte for byte, over random records', () => {
    expect(compileTranscoder(table, schema)).not.toBeNull()
    const cursors = Array.from({ length: 400 }, (_, i) =>
      cursorOf(i % 3 === 0 ? null : Buffer.from(`key-${i}`), type.toBuffer(type.random()), i),
    )
    const taken = cursors.filter((cursor) => transcoded(table, schema, cursor) !== null)
    for (const cursor of taken)
      expect(transcoded(table, schema, cursor)).toEqual(general(table, type, cursor))
    expect(taken.length).toBeGreaterThan(100)
  })

  test('bytes that are cut off or follow no schema are left to the general encoder', () => {
    for (let i = 0; i < 100; i++) {
      const whole = type.toBuffer(type.random())
      const cut = whole.subarray(0, Math.floor((whole.length * (i % 10)) / 10))
      expect(transcoded(table, schema, cursorOf(null, Buffer.from(cut), i))).toBeNull()
      const longer = Buffer.concat([whole, Buffer.from([1])])
      expect(transcoded(table, schema, cursorOf(null, longer, i))).toBeNull()
    }
  })
})

test('tables with JSON columns or maps are not transcoded', () => {
  for (const name of ['decisions', 'audit_offsets']) {
    const table = tableOf(name)
    expect(compileTranscoder(table, AVRO[table.record])).toBeNull()
  }
})
