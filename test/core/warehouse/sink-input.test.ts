import { expect, test } from 'vitest'
import { createCodec } from '#core/codec'
import { ForestallError, type RecordCursor, type SchemaRegistry } from '#core/ports'
import { createSinkCounters, decodeWith, type UndecodableRecord } from '#core/warehouse'
import type { Ack } from '#schemas'
import { readBatch } from '../../../pipelines/core/warehouse/sink-input.ts'
import type { TableLane } from '../../../pipelines/core/warehouse/table-lane.ts'

const ACK: Ack = {
  decision_id: 'd',
  decision_topic: 'decisions.x',
  entity: 'e',
  epoch: 5,
  follower: 'f',
  state: 'applied',
  at_ms: 7,
  observed: {},
}

function registry(): SchemaRegistry & { down: boolean; asked: number } {
  const texts: string[] = []
  return {
    down: false,
    asked: 0,
    register: (_, text) => Promise.resolve(texts.includes(text) ? texts.indexOf(text) + 1 : texts.push(text)),
    schemaById(id) {
      this.asked++
      if (this.down) return Promise.reject(new ForestallError('REGISTRY_FAILED', 'down'))
      const text = texts[id - 1]
      return text === undefined
        ? Promise.reject(new ForestallError('RECORD_SCHEMA_UNKNOWN', `schema ${id}`))
        : Promise.resolve(text)
    },
  }
}

/** A cursor over values in one buffer. */
function cursorOver(values: readonly Buffer[]): RecordCursor {
  const buffer = Buffer.concat(values)
  const cursor = {
    topic: 'acks.decisions',
    partition: 0,
    buffer,
    offset: -1,
    timestampMs: 0,
    keyStart: 0,
    keyLength: -1,
    valueStart: 0,
    valueLength: 0,
    headersStart: buffer.length,
    recordEnd: buffer.length,
    nextOffset: values.length,
    recordCount: values.length,
    next() {
      cursor.valueStart += cursor.valueLength
      cursor.valueLength = values[++cursor.offset]?.length ?? 0
      return cursor.offset < values.length
    },
  }
  return cursor
}

function collector(): { lane: TableLane; taken: [number, object | null][] } {
  const taken: [number, object | null][] = []
  const append = (record: object | null, cursor: RecordCursor) => void taken.push([cursor.offset, record])
  const nothing = () => undefined
  const lane = {
    table: 't',
    keepsTombstones: false,
    bytes: 0,
    append,
    transcode: () => false,
    learn: () => undefined,
    knows: () => true,
    flush: nothing,
    pendingFrom: nothing,
    drop: nothing,
    close: nothing,
  }
  return { lane, taken }
}

async function read(values: readonly Buffer[], from: SchemaRegistry) {
  const { lane, taken } = collector()
  const undecodable: UndecodableRecord[] = []
  const counters = createSinkCounters()
  const deps = {
    decode: decodeWith(createCodec(from)),
    counters,
    onUndecodable: (r: UndecodableRecord) => void undecodable.push(r),
  }
  await readBatch(cursorOver(values), 'acks.decisions:0', [lane], deps)
  return { taken, undecodable, counters }
}

async function encoded(to: SchemaRegistry): Promise<Buffer> {
  const codec = createCodec(to)
  await codec.prepare([{ topic: 'acks.decisions', record: 'Ack' }])
  return codec.encode('acks.decisions', 'Ack', ACK)
}

test('a schema that is not known yet is fetched once, and records keep their order', async () => {
  const schemas = registry()
  const value = await encoded(schemas)
  const { taken } = await read([value, value, value], schemas)
  expect(taken.map(([offset]) => offset)).toEqual([0, 1, 2])
  expect(taken[2]?.[1]).toMatchObject({ epoch: 5, follower: 'f' })
  expect(schemas.asked).toBe(1)
})

test('bytes that are no record and schemas that nobody knows are handed over, the others go on', async () => {
  const schemas = registry()
  const value = await encoded(schemas)
  const unknown = Buffer.from(value)
  unknown.writeUInt32BE(77, 1)
  const { taken, undecodable, counters } = await read(
    [Buffer.from('x'), value, unknown, value.subarray(0, 9)],
    schemas,
  )
  expect(taken.map(([offset]) => offset)).toEqual([1])
  expect(undecodable.map((u) => [u.offset, (u.error as ForestallError).code])).toEqual([
    [0, 'RECORD_UNDECODABLE'],
    [2, 'RECORD_SCHEMA_UNKNOWN'],
    [3, 'RECORD_UNDECODABLE'],
  ])
  expect(counters).toMatchObject({ records: 4, undecodable: 3 })
})

test('a registry that does not answer is no fault of the record: the batch fails, to be read again', async () => {
  const schemas = registry()
  const value = await encoded(schemas)
  schemas.down = true
  await expect(read([value], schemas)).rejects.toMatchObject({ code: 'REGISTRY_FAILED' })
})
