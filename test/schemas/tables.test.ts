import { describe, expect, it } from 'vitest'
import { fillsTable, TABLES, TOPICS, tableSpec, VIEWS } from '../../schemas/index.ts'

const KAFKA_SOURCES = ['@topic', '@partition', '@offset', '@timestamp', '@key', '@tombstone']

describe('tables', () => {
  it('stores every stage: each topic with a record fills one table, raw telemetry and logs none', () => {
    const topics = TOPICS.filter((t) => t.record !== null)
    expect(topics.length).toBeGreaterThan(12)
    const wrong = topics.filter((topic) => {
      const expected = /^(telemetry|logs)\./.test(topic.name) ? 0 : 1
      return TABLES.filter((t) => fillsTable(t, topic.name)).length !== expected
    })
    expect(wrong).toEqual([])
  })

  it.each(TABLES)('$name sorts by, and versions with, columns it has', (table) => {
    const names = table.columns.map((c) => c.name)
    expect(new Set(names).size).toBe(names.length)
    expect(names).toEqual(expect.arrayContaining([...table.orderBy, table.version]))
    const kafka = table.columns.map((c) => c.from).filter((f) => f.startsWith('@') && !f.startsWith('@json:'))
    expect(KAFKA_SOURCES).toEqual(expect.arrayContaining(kafka))
  })

  it('flattens the reason of a decision and keeps what has no columns as JSON', () => {
    const from = (name: string) => tableSpec('decisions').columns.find((c) => c.name === name)
    expect(from('reason_risk')).toMatchObject({ type: 'Float64', from: 'reason.risk' })
    expect(from('reason_drivers')).toMatchObject({ type: 'Array(String)', from: 'reason.drivers' })
    expect(from('expires_at_ms')).toMatchObject({ type: 'Nullable(DateTime64(3))' })
    expect(from('inputs')).toMatchObject({ type: 'String', from: '@json:inputs' })
    expect(from('body')).toMatchObject({ type: 'String', from: '@json:body' })
    expect(from('entity')).toMatchObject({ from: '@key' })
  })

  it('keeps names and types of maps, enums, bytes and arrays', () => {
    const types = (table: string) => Object.fromEntries(tableSpec(table).columns.map((c) => [c.name, c.type]))
    expect(types('acks_decisions')).toMatchObject({
      state: 'LowCardinality(String)',
      observed: 'Map(String, String)',
      at_ms: 'DateTime64(3)',
    })
    expect(types('dead_letters')).toMatchObject({ key: 'Nullable(String)', partition: 'Int32' })
    expect(types('scenarios_traffic')).toMatchObject({ draws: 'Array(Float64)', origins: 'Array(Int64)' })
    expect(types('audit_offsets')).toMatchObject({ skipped: 'Map(String, Int64)' })
  })

  it('has views that name only tables and earlier views', () => {
    const known = new Set(TABLES.map((t) => t.name))
    for (const view of VIEWS) {
      const read = [...view.select.matchAll(/(?:FROM|(?<!ARRAY )JOIN) ([a-z_]+)/g)].map((m) => m[1] ?? '')
      expect(read.length).toBeGreaterThan(0)
      expect([...known]).toEqual(expect.arrayContaining(read))
      known.add(view.name)
    }
  })

  it('refuses a table that is not declared', () => {
    expect(() => tableSpec('flows')).toThrow('not declared')
  })
})
