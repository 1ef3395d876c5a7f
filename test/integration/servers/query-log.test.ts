import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createCodec } from '#core/codec'
import type { QueryLog } from '#schemas'
import { topicSpec } from '#schemas'
import { openQueryLog, type QueryRule, startQueryLogPoller } from '#infra/adapters'
import { createWarehouse } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { readTopic } from '../../../jobs/topic-reader.ts'
import { failOnLeaks } from '../../support/leaks.ts'
import { uniqueName } from '../../support/unique.ts'
import { until } from '../../support/until.ts'
import { openServers, SERVER_URLS, type Servers } from './world.ts'

failOnLeaks()

const KEYS = 20
const ROUNDS = 5
const reason =
  SERVER_URLS.length > 0 ? '' : ' (skipped: the embedded engine keeps no log; set CLICKHOUSE_SERVER_URLS)'

describe.skipIf(reason !== '')(`the query log of a server${reason}`, () => {
  const broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'server-log' })
  const codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))
  const prefix = `${uniqueName('test')}.`
  let servers: Servers

  beforeAll(async () => {
    servers = await openServers(1)
    await servers.everywhere(
      'CREATE TABLE orders (customer String, n UInt64, day Date) ENGINE = MergeTree ORDER BY customer',
    )
    await servers.everywhere("INSERT INTO orders VALUES ('c0', 0, '2025-01-01')")
    const admin = broker.admin()
    const specs = ['logs.queries', 'state.query-log'].map((name) =>
      topicSpec(name, { prefix, replicationFactor: 1 }),
    )
    await admin.ensureTopics(specs)
    await admin.close()
  })
  afterAll(async () => {
    await broker.close()
    await servers.stop()
  })

  async function output(): Promise<QueryLog[]> {
    const seen: QueryLog[] = []
    await readTopic(broker, codec, `${prefix}logs.queries`, 'QueryLog', (v) => void seen.push(v), 'stable')
    return seen
  }

  /** Queries of every kind that names a key: in the text, as parameters of several types, in `log_comment`; some fail. */
  async function ask(round: number): Promise<void> {
    const client = servers.client(servers.list[0]?.url ?? '')
    const n = String(round)
    const day = `2026-01-${String(round + 1).padStart(2, '0')}`
    try {
      for (let k = 0; k < KEYS; k++) {
        const customer = `c${k}`
        const read = async (condition: string, settings = {}): Promise<void> => {
          const result = await client.query({
            query: `SELECT count() FROM orders WHERE ${condition}`,
            query_params: { customer, n, day },
            clickhouse_settings: settings,
          })
          await result.text()
        }
        await read('customer = {customer:String}')
        await read('n = 1', {
          log_comment: JSON.stringify({ service: 'tagged', entity: customer, operation: 'o' }),
        })
        if (k > 0) continue
        await read('n = {n:UInt64}')
        await read('day = {day:Date}')
        await expect(read("throwIf(1) AND customer = 'c0'")).rejects.toThrow('throwIf')
      }
    } finally {
      await client.close()
    }
  }

  test('every query of clients becomes a record once, whatever the log is late by', async () => {
    const { database, list } = servers
    const about = (column: string): QueryRule => ({
      table: `${database}.orders`,
      kinds: ['Select'],
      service: [{ value: 'read' }],
      entity: [{ where: column }],
      operation: [{ field: 'normalized_query_hash' }],
    })
    const tagged: QueryRule = {
      table: `${database}.orders`,
      service: [{ comment: 'service' }],
      entity: [{ comment: 'entity' }],
      operation: [{ comment: 'operation' }],
    }
    const warehouse = createWarehouse({ url: list[0]?.url ?? '', ...servers.user, ...servers.password })
    const client = servers.client(list[0]?.url ?? '')
    // The server makes the table with the first rows.
    await client.command({ query: 'SELECT 1' })
    const table = await until(() => openQueryLog(warehouse), { timeoutMs: 30_000, what: 'system.query_log' })
    const warnings: Error[] = []
    const poller = await startQueryLogPoller({
      broker,
      codec,
      table,
      source: 'server',
      rules: [tagged, about('customer'), about('n'), about('day')],
      prefix,
      everyMs: 200,
      pageRows: 50,
      onWarning: (error) => warnings.push(error),
    })
    try {
      for (let round = 0; round < ROUNDS; round++) await ask(round)
      await until(async () => (await output()).length >= ROUNDS * (2 * KEYS + 3), {
        timeoutMs: 90_000,
        everyMs: 500,
        what: 'a record of each',
      })
    } finally {
      await poller.stop()
      await client.close()
      await warehouse.close()
    }
    const counts = new Map<string, number>()
    const operations = new Map<string, Set<string>>()
    for (const { service_id, entity_id, failed, operation_id } of await output()) {
      const name = `${service_id} ${entity_id}${failed ? ' failed' : ''}`
      counts.set(name, (counts.get(name) ?? 0) + 1)
      const kind = entity_id.startsWith('c') ? 'customer' : 'other'
      operations.set(kind, (operations.get(kind) ?? new Set()).add(operation_id))
    }
    const expected = new Map<string, number>([['read c0 failed', ROUNDS]])
    for (let k = 0; k < KEYS; k++) expected.set(`read c${k}`, ROUNDS).set(`tagged c${k}`, ROUNDS)
    for (let round = 0; round < ROUNDS; round++) {
      expected.set(`read ${round}`, 1)
      expected.set(`read 2026-01-${String(round + 1).padStart(2, '0')}`, 1)
    }
    expect(Object.fromEntries(counts)).toEqual(Object.fromEntries(expected))
    // Parameters do not make forms of their own: one of reads by customer, one tagged, one that fails.
    expect(operations.get('customer')?.size).toBe(3)
    expect(warnings).toEqual([])
  }, 180_000)
})
