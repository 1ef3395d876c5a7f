import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { type Broker, systemClock, type Warehouse } from '#core/ports'
import {
  createSink,
  type Decode,
  ensureTables,
  type Sink,
  type SinkOptions,
  type UndecodableRecord,
} from '#core/warehouse'
import { type ClickHouseProcess, createWarehouse, ensureDatabase, startClickHouse } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import type { TableSpec } from '#schemas'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()
const dir = mkdtempSync(join(tmpdir(), 'forestall-sink-'))
const PARTITIONS = 4
let broker: Broker
let host: ClickHouseProcess
let warehouse: Warehouse
let prefix: string
let table: TableSpec
let tombs: TableSpec
let sinks: Sink[] = []
let errors: Error[] = []
let undecodable: UndecodableRecord[] = []

const startHost = (port: number) =>
  startClickHouse({ dataDir: join(dir, 'data'), logFile: join(dir, 'clickhouse.log'), port })

beforeAll(async () => {
  broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'warehouse-sink' })
  host = await startHost(0)
  await ensureDatabase({ url: host.url, database: 'sink' })
  warehouse = createWarehouse({ url: host.url, database: 'sink', attempts: 2 })
})
afterAll(async () => {
  await warehouse.close()
  await broker.close()
  await host.stop()
  rmSync(dir, { recursive: true, force: true })
})

const KAFKA = [
  { name: 'p', type: 'Int32', from: '@partition', doc: '' },
  { name: 'o', type: 'Int64', from: '@offset', doc: '' },
] as const

beforeEach(async () => {
  prefix = `${uniqueName('sink')}.`
  errors = []
  undecodable = []
  const name = { name: 'topic', type: 'LowCardinality(String)', from: '@topic', doc: '' }
  const id = { name: 'id', type: 'UInt64', from: 'id', doc: '' }
  const own = { record: 'Flow', version: 'o', doc: '' } as const
  table = { ...own, name: uniqueName('t'), topics: ['data'], columns: [id, name, ...KAFKA], orderBy: ['id'] }
  const key = { name: 'k', type: 'String', from: '@key', doc: '' }
  const gone = { name: 'gone', type: 'Bool', from: '@tombstone', doc: '' }
  tombs = {
    ...own,
    name: uniqueName('t'),
    topics: ['kept.*'],
    columns: [key, id, gone, name, ...KAFKA],
    orderBy: ['k'],
  }
  await ensureTables(warehouse, [table, tombs])
  const topics = ['data', 'kept.a', 'kept.b'].map((t) => ({ name: prefix + t, partitions: PARTITIONS }))
  await withAdmin((admin) => admin.ensureTopics(topics))
  return async () => {
    await Promise.all(sinks.map((sink) => sink.stop()))
    sinks = []
    await withAdmin((admin) => admin.deleteTopics(topics.map((t) => t.name)))
  }
})

async function withAdmin<T>(use: (admin: ReturnType<Broker['admin']>) => Promise<T>): Promise<T> {
  const admin = broker.admin()
  try {
    return await use(admin)
  } finally {
    await admin.close()
  }
}

/** Values are 8 bytes, the id; others are undecodable. */
const decode: Decode = (_topic, buffer, start, end) => {
  if (end - start !== 8) throw new Error('not 8 bytes')
  return { id: buffer.readDoubleBE(start) }
}

async function newSink(more: Partial<SinkOptions> = {}): Promise<Sink> {
  const sink = createSink({
    broker,
    warehouse,
    groupId: `${prefix}group`,
    tables: [table, tombs],
    decode,
    clock: systemClock,
    topicPrefix: prefix,
    flushMs: 50,
    onError: (error) => errors.push(error),
    onUndecodable: (record) => void undecodable.push(record),
    ...more,
  })
  sinks.push(sink)
  await sink.start()
  return sink
}

const value = (id: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleBE(id)
  return bytes
}

/** Sends ids [from, to) to `data`, spread over its partitions. */
async function produce(from: number, to: number): Promise<void> {
  const producer = broker.producer()
  for (let id = from; id < to; id++)
    producer.add(`${prefix}data`, id % PARTITIONS, 1000 + id, null, value(id))
  await producer.flush()
  await producer.close()
}

const sums = async (): Promise<unknown> =>
  (await warehouse.query(`SELECT count() AS n, uniqExact(id) AS u, max(id) AS m FROM ${table.name} FINAL`))[0]
const exactly = (n: number) => ({ n, u: n, m: n - 1 })

describe('what arrives', () => {
  test('every record once, under the topic name without the prefix, committed when drained', async () => {
    const sink = await newSink()
    await produce(0, 20_000)
    await sink.drained()
    expect(await sums()).toEqual(exactly(20_000))
    expect(await warehouse.query(`SELECT DISTINCT topic FROM ${table.name}`)).toEqual([{ topic: 'data' }])
    const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({
      topic: `${prefix}data`,
      partition,
    }))
    const committed = await withAdmin((admin) => admin.committed(`${prefix}group`, partitions))
    expect(committed.map((c) => c.offset)).toEqual(partitions.map(() => 5000))
    expect(sink.positions().get(`${prefix}data:0`)).toBe(5000)
    expect(errors).toEqual([])
  })

  test('only committed records of transactions; markers at the end do not keep it from being drained', async () => {
    const producer = broker.transactionalProducer({ transactionalId: `${prefix}tx` })
    await producer.init()
    for (const [ids, end] of [
      [[0, 1], 'commit'],
      [[2, 3], 'abort'],
      [[4], 'commit'],
      [[5], 'abort'],
    ] as const) {
      for (const id of ids) producer.add(`${prefix}data`, 0, 1000, null, value(id))
      await producer[end]()
    }
    await producer.close()
    const sink = await newSink()
    await sink.drained()
    const ids = await warehouse.query<{ id: number }>(`SELECT id FROM ${table.name} FINAL ORDER BY id`)
    expect(ids.map((r) => r.id)).toEqual([0, 1, 4])
  })

  test('tombstones are rows where the table keeps them, and marks are none', async () => {
    const producer = broker.producer()
    const key = Buffer.from('k1')
    producer.add(`${prefix}kept.a`, 0, 1000, key, value(7))
    producer.add(`${prefix}kept.b`, 0, 1001, key, null)
    producer.add(`${prefix}kept.b`, 0, 1002, null, null, [['forestall.mark', Buffer.from('a/0 5 0')]])
    producer.add(`${prefix}data`, 0, 1003, key, null)
    await producer.flush()
    await producer.close()
    const sink = await newSink()
    await sink.drained()
    expect(
      await warehouse.query(`SELECT k, id, gone, topic FROM ${tombs.name} FINAL ORDER BY topic`),
    ).toEqual([
      { k: 'k1', id: 7, gone: false, topic: 'kept.a' },
      { k: 'k1', id: 0, gone: true, topic: 'kept.b' },
    ])
    expect(sink.metrics).toMatchObject({ records: 4, marks: 1, tombstonesSkipped: 1, undecodable: 0 })
  })

  test('records that cannot be used are handed over and do not stop the others', async () => {
    const producer = broker.producer()
    producer.add(`${prefix}data`, 0, 1000, Buffer.from('k'), Buffer.from('garbage'))
    producer.add(`${prefix}data`, 0, 1001, null, value(-1)) // not a UInt64
    producer.add(`${prefix}data`, 0, 1002, null, value(0))
    await producer.flush()
    await producer.close()
    const sink = await newSink()
    await sink.drained()
    expect(await sums()).toEqual(exactly(1))
    expect(undecodable.map((u) => [u.offset, String(u.value), u.error.message])).toEqual([
      [0, 'garbage', 'not 8 bytes'],
      [1, String(value(-1)), expect.stringContaining(`${table.name}.id`) as string],
    ])
    expect(undecodable[0]?.key?.toString()).toBe('k')
  })

  test('a topic that comes later is read too', async () => {
    const sink = await newSink({ topicRefreshMs: 100 })
    const late = `${prefix}kept.late`
    await withAdmin((admin) => admin.ensureTopics([{ name: late, partitions: 1 }]))
    const producer = broker.producer()
    producer.add(late, 0, 1000, Buffer.from('x'), value(1))
    await producer.flush()
    await producer.close()
    await sink.drained()
    expect(await warehouse.query(`SELECT topic FROM ${tombs.name} FINAL`)).toEqual([{ topic: 'kept.late' }])
  })
})

describe('when something fails', () => {
  test('ClickHouse killed in mid-run: reading pauses, memory is bounded, then everything arrives once', async () => {
    const maxBufferedBytes = 2 << 20
    const sink = await newSink({ maxBufferedBytes, flushRows: 2000 })
    await produce(0, 50_000)
    await until(() => (sink.metrics.rows[table.name] ?? 0) > 5000, { what: 'the first rows' })
    const port = Number(new URL(host.url).port)
    process.kill(host.pid, 'SIGKILL')
    await produce(50_000, 300_000)
    await until(() => errors.length > 1 && sink.metrics.pauses > 0, { what: 'a pause', timeoutMs: 40_000 })
    // Each of the two lanes has half, and may exceed it by one fetched batch of a partition.
    expect(sink.metrics.bufferedBytes).toBeLessThan(maxBufferedBytes + (4 << 20))
    expect(sink.metrics.records).toBeLessThan(300_000)
    host = await startHost(port)
    await sink.drained()
    expect(await sums()).toEqual(exactly(300_000))
    expect(sink.metrics.assignments).toBe(1)
  })

  test('members come and go while records flow: none is lost', async () => {
    const first = await newSink()
    await produce(0, 20_000)
    const second = await newSink()
    await produce(20_000, 40_000)
    await until(() => second.positions().size > 0, { what: 'the second member' })
    await first.stop()
    await produce(40_000, 60_000)
    await second.drained()
    expect(await sums()).toEqual(exactly(60_000))
    expect(first.positions().size).toBe(0)
  })

  test('a stop writes and commits what was read; the next member does not read it again', async () => {
    const first = await newSink({ flushMs: 60_000, flushRows: 1e9 })
    await produce(0, 1000)
    await until(() => first.metrics.records === 1000)
    await first.stop()
    expect(await sums()).toEqual(exactly(1000))
    const second = await newSink()
    await produce(1000, 1001)
    await second.drained()
    expect(second.metrics.records).toBe(1)
  })

  test('a table that ClickHouse refuses holds back only its own topics', async () => {
    await warehouse.command(`ALTER TABLE ${tombs.name} DROP COLUMN gone`)
    const sink = await newSink()
    const producer = broker.producer()
    producer.add(`${prefix}kept.a`, 0, 1000, Buffer.from('k'), value(1))
    await producer.flush()
    await producer.close()
    await produce(0, 1000)
    await until(async () => JSON.stringify(await sums()) === JSON.stringify(exactly(1000)))
    await until(() => errors.length > 0)
    expect(errors[0]).toMatchObject({ code: 'WAREHOUSE_REJECTED' })
    expect(sink.positions().get(`${prefix}kept.a:0`)).toBe(0)
    await ensureTables(warehouse, [tombs])
    await sink.drained()
    expect(await warehouse.query(`SELECT id FROM ${tombs.name} FINAL`)).toEqual([{ id: 1 }])
  })

  test('a process that takes over the instance id ends the older one', async () => {
    const first = await newSink({ groupInstanceId: 'one' })
    await produce(0, 100)
    await first.drained()
    const second = await newSink({ groupInstanceId: 'one' })
    await produce(100, 200)
    await second.drained()
    await until(() => errors.some((e) => /FENCED/.test((e as { code?: string }).code ?? '')), {
      what: 'the end of the first',
    })
    expect(await sums()).toEqual(exactly(200))
  })
})
