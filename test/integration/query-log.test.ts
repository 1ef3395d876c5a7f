import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import { createCodec, type RecordCodec } from '#core/codec'
import type { Broker, Warehouse } from '#core/ports'
import {
  DEFAULT_RULES,
  importQueryLogFile,
  openQueryLog,
  type QueryLogPoller,
  type QueryRule,
  startQueryLogPoller,
} from '#infra/adapters'
import { createWarehouse, ensureDatabase } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { type QueryLog, topicSpec } from '#schemas'
import { readTopic } from '../../jobs/topic-reader.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()

/** The columns of a server's `system.query_log` that matter here, with its types, and two that we never read. */
const LOG_TABLE = `CREATE TABLE log (
  hostname LowCardinality(String),
  type Enum8('QueryStart' = 1, 'QueryFinish' = 2, 'ExceptionBeforeStart' = 3, 'ExceptionWhileProcessing' = 4),
  event_date Date, event_time DateTime, event_time_microseconds DateTime64(6),
  query_start_time DateTime, query_start_time_microseconds DateTime64(6), query_duration_ms UInt64,
  read_rows UInt64, read_bytes UInt64, written_rows UInt64, written_bytes UInt64,
  current_database LowCardinality(String), query String, normalized_query_hash UInt64,
  query_kind LowCardinality(String), databases Array(LowCardinality(String)), tables Array(LowCardinality(String)),
  exception_code Int32, is_initial_query UInt8, user LowCardinality(String), query_id String,
  ProfileEvents Map(LowCardinality(String), UInt64), Settings Map(LowCardinality(String), LowCardinality(String)),
  log_comment String
) ENGINE = MergeTree PARTITION BY toYYYYMM(event_date) ORDER BY (event_date, event_time)`

/**
 * Rows as a server writes them: a start and an end each; every seventh fails, every fifth has a part of another server,
 * every eleventh is an asynchronous insert, whose writing is logged as well.
 */
const rowsFrom = (first: number, count: number): string => `INSERT INTO log
  SELECT 'ch-1', arrayJoin(if(n % 7 = 0, [1, 4], [1, 2])) AS type, toDate(at), toDateTime(at), at, toDateTime(at), at, n % 50,
    10, 100, 0, 0, 'shop', 'SELECT 1', 77, arrayJoin(if(n % 11 = 0, ['Insert', 'AsyncInsertFlush'], ['Select'])), ['shop'], ['shop.orders'], if(n % 7 = 0, 241, 0),
    initial, 'web', concat('q', toString(n), if(initial, '', '-part')), map(), map(),
    concat('{"service":"orders","operation":"list","entity":"c', toString(n), '"}')
  FROM (SELECT number + ${first} AS n, arrayJoin(if(n % 5 = 0, [1, 0], [1])) AS initial,
      toDateTime64('2026-01-01 00:00:00', 6, 'UTC') + toIntervalMillisecond(intDiv(n, 40)) AS at
    FROM numbers(${count}))`

let broker: Broker
let codec: RecordCodec
let warehouse: Warehouse
let prefix: string
const pollers: QueryLogPoller[] = []

beforeAll(async () => {
  broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'query-log-test' })
  codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))
  const options = { url: inject('clickhouseUrl'), database: uniqueName('querylog').replaceAll('-', '_') }
  await ensureDatabase(options)
  warehouse = createWarehouse(options)
  await warehouse.command(LOG_TABLE)
  prefix = `${uniqueName('test')}.`
  const admin = broker.admin()
  await admin.ensureTopics(
    ['logs.queries', 'state.query-log'].map((name) => topicSpec(name, { prefix, replicationFactor: 1 })),
  )
  await admin.close()
})
afterEach(async () => {
  await Promise.all(pollers.splice(0).map((poller) => poller.stop()))
})
afterAll(async () => {
  await broker.close()
  await warehouse.close()
})

async function start(name = 'log', rules = DEFAULT_RULES): Promise<QueryLogPoller> {
  const table = await openQueryLog(warehouse, name)
  const poller = await startQueryLogPoller({
    broker,
    codec,
    table,
    source: `of-${name}`,
    rules,
    prefix,
    everyMs: 20,
    settleMs: 0,
    // Not a divisor of the 40 rows that share a microsecond: pages end between them.
    pageRows: 33,
  })
  pollers.push(poller)
  return poller
}

/** The records that a `read_committed` reader sees. */
async function output(): Promise<QueryLog[]> {
  const seen: QueryLog[] = []
  await readTopic(broker, codec, `${prefix}logs.queries`, 'QueryLog', (v) => void seen.push(v), 'stable')
  return seen
}

describe('query log poller', () => {
  it('copies each query once, across restarts and a second poller that takes over', async () => {
    await warehouse.command(rowsFrom(0, 500))
    const first = await start()
    await until(() => first.counters().records >= 100, { what: '100 records' })
    await first.stop()
    const second = await start()
    await until(() => second.counters().records > 0, { what: 'a record of the second' })
    const fenced: Error[] = []
    pollers.splice(pollers.indexOf(second), 1)
    const third = await start()
    await warehouse.command(rowsFrom(500, 300))
    await expect(second.done.catch((error: Error) => fenced.push(error))).resolves.toBe(1)
    await until(async () => new Set((await output()).map((q) => q.entity_id)).size === 800, {
      what: '800 queries',
    })
    const records = await output()
    expect(records).toHaveLength(800)
    expect(records.filter((q) => q.failed)).toHaveLength(Math.ceil(800 / 7))
    expect(records.find((q) => q.entity_id === 'c41')).toMatchObject({
      event_time_ms: Date.UTC(2026, 0, 1) + 1,
      origin: 'of-log',
      pattern: 'orders|list|c41',
      instance: 'ch-1',
      duration_ms: 41,
      read_rows: 10,
    })
    expect(fenced[0]).toMatchObject({ code: 'PRODUCER_FENCED' })
    expect(third.counters().skipped).toEqual({})
  })

  it('reads what ClickHouse 26.7 has written itself: parameters stand in the text by their values', async () => {
    const file = (name: string) =>
      readFileSync(new URL(`../fixtures/query-log/${name}`, import.meta.url), 'utf8')
    await warehouse.command(file('create.sql'))
    await warehouse.command(`INSERT INTO captured FORMAT JSONEachRow ${file('rows.jsonl')}`)
    const about = (column: string): QueryRule => ({
      table: 'shop.orders',
      kinds: ['Select'],
      service: [{ value: 'captured' }],
      entity: [{ where: column }],
      operation: [{ field: 'normalized_query_hash' }],
    })
    const rules = [...DEFAULT_RULES, about('customer_id'), about('n'), about('day')]
    const poller = await start('captured', rules)
    const captured = async () => (await output()).filter(({ origin }) => origin === 'of-captured')
    await until(async () => (await captured()).length >= 8, { what: 'what has ended' })
    const records = await captured()
    const names = records.map(({ service_id, entity_id }) => `${service_id} ${entity_id}`)
    expect(names.sort()).toEqual([
      'captured 2026-01-02',
      'captured 5',
      'captured c1',
      'captured c7',
      'captured c8',
      'captured c9',
      'orders c0',
      'orders c7',
    ])
    const of = (entity: string) => records.find(({ entity_id }) => entity_id === entity)
    expect(of('c0')).toMatchObject({ written_rows: 1000, written_bytes: 20_000, instance: 'ch-1' })
    expect(of('c8')?.operation_id).toBe(of('c9')?.operation_id)
    expect(records.filter(({ failed }) => failed)).toMatchObject([
      { service_id: 'captured', entity_id: 'c7' },
    ])
    expect(poller.counters()).toMatchObject({ rows: 11, skipped: { 'no service': 1, 'no entity': 2 } })
  })

  it('says what is no query log', async () => {
    await expect(openQueryLog(warehouse, 'nothing')).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: 'nothing does not exist: it is not a query log.',
    })
    await warehouse.command('CREATE TABLE other (a UInt8) ENGINE = Memory')
    await expect(openQueryLog(warehouse, 'other')).rejects.toThrow(/has no type, event_date/)
    await expect(openQueryLog(warehouse, 'log; DROP TABLE log')).rejects.toThrow(/not the name of a table/)
  })
})

describe('query log file', () => {
  it('is copied once, however often the import is repeated', async () => {
    const path = join(mkdtempSync(join(tmpdir(), 'forestall-log-')), 'queries.jsonl')
    const line = (i: number) => JSON.stringify({ ts: 1_767_225_600_000 + i, user: `u${i}`, path: '/q' })
    const rules = [
      {
        service: [{ value: 'search' }],
        entity: [{ field: 'user' }],
        operation: [{ field: 'path' }],
      },
    ]
    const run = () =>
      importQueryLogFile({
        broker,
        codec,
        path,
        source: 'file',
        rules,
        prefix,
        pageRows: 10,
        nowMs: () => 0,
      })
    const lines = Array.from({ length: 25 }, (_, i) => line(i))
    writeFileSync(path, `${lines.join('\n')}\n{"broken`)
    await expect(run()).rejects.toMatchObject({ code: 'RECORD_INVALID' })
    writeFileSync(path, [...lines, '{"path": "/q"}', line(26)].join('\n'))
    expect(await run()).toEqual({ rows: 7, records: 6, skipped: { 'no time': 1 }, commits: 1 })
    expect((await run()).rows).toBe(0)
    const entities = (await output()).filter((q) => q.service_id === 'search').map((q) => q.entity_id)
    expect(entities.sort()).toEqual([...lines.map((_, i) => `u${i}`), 'u26'].sort())
    rmSync(dirname(path), { recursive: true })
  })
})
