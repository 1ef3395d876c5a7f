import type { RecordCursor, Warehouse } from '#core/ports'
import type { TableSpec } from '#schemas'

/** A small table over made-up fields. */
export const TABLE: TableSpec = {
  name: 'readings',
  topics: ['telemetry.readings', 'more.*'],
  record: 'Flow',
  columns: [
    { name: 'topic', type: 'LowCardinality(String)', from: '@topic', doc: 'Topic.' },
    { name: 'id', type: 'String', from: '@key', doc: "The sensor's id." },
    { name: 'value', type: 'Nullable(Float64)', from: 'value', doc: 'Value.' },
    { name: 'unit', type: 'String', from: 'meta.unit', doc: 'Unit.' },
    { name: 'tags', type: 'String', from: '@json:meta.tags', doc: 'Tags.' },
    { name: 'at', type: 'DateTime64(3)', from: '@timestamp', doc: 'When.' },
    { name: 'gone', type: 'Bool', from: '@tombstone', doc: 'Withdrawn.' },
    { name: 'p', type: 'Int32', from: '@partition', doc: 'Partition.' },
    { name: 'o', type: 'Int64', from: '@offset', doc: 'Offset.' },
  ],
  orderBy: ['id', 'at'],
  partitionBy: 'toYYYYMM(at)',
  version: 'o',
  doc: 'Readings.',
}

/** A cursor that stands on one record. */
export function cursorAt(
  offset: number,
  key: string | null = 'k',
  tombstone = false,
  topic = 'telemetry.readings',
): RecordCursor {
  const buffer = Buffer.from(`..${key ?? ''}`)
  return {
    topic,
    partition: 3,
    buffer,
    offset,
    timestampMs: 1_000_000 + offset,
    keyStart: 2,
    keyLength: key === null ? -1 : buffer.length - 2,
    valueStart: buffer.length,
    valueLength: tombstone ? -1 : 0,
    headersStart: buffer.length,
    recordEnd: buffer.length,
    nextOffset: offset + 1,
    recordCount: 1,
    next: () => false,
  }
}

/** An insert that waits for the test to answer it. */
export interface PendingInsert {
  readonly table: string
  readonly rows: Uint8Array
  readonly token: string
  succeed(): void
  fail(error: Error): void
}

/** A warehouse whose inserts are answered by the test; it has no tables. */
export function scriptedWarehouse(): Warehouse & { readonly inserts: PendingInsert[] } {
  const inserts: PendingInsert[] = []
  return {
    inserts,
    insertRowBinary: (table, _columns, rows, { token = '' } = {}) =>
      new Promise((resolve, reject) => {
        inserts.push({ table, rows: Uint8Array.from(rows), token, succeed: resolve, fail: reject })
      }),
    command: () => Promise.resolve(),
    query: () => Promise.resolve([]),
    close: () => Promise.resolve(),
  }
}
