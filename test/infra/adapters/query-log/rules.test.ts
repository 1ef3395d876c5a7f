import { describe, expect, it } from 'vitest'
import { DEFAULT_RULES, normalise, type QueryRule } from '../../../../infra/adapters/query-log/rules.ts'
import { comparedWith } from '../../../../infra/adapters/query-log/where.ts'

/** A row as the server gives it: names and types of `system.query_log`, hashes and times as text. */
const row = (more: Record<string, unknown> = {}) => ({
  hostname: 'ch-1',
  started_us: '1767225600123456',
  query_duration_ms: 12,
  read_rows: 100,
  read_bytes: '4096',
  written_rows: 0,
  written_bytes: 0,
  query: "SELECT count() FROM shop.orders WHERE customer = 'c17' AND day > '2026-01-01'",
  normalized_query_hash: '1234567890123456789',
  query_kind: 'Select',
  tables: ['shop.orders'],
  exception_code: 0,
  user: 'web',
  log_comment: '{"service":"orders","entity":"c17","operation":"list"}',
  ...more,
})

describe('normalise', () => {
  it('takes the tags of log_comment by default', () => {
    expect(normalise(row(), DEFAULT_RULES, 'ch')).toEqual({
      event_time_ms: 1_767_225_600_123,
      origin: 'ch',
      pattern: 'orders|list|c17',
      service_id: 'orders',
      entity_id: 'c17',
      operation_id: 'list',
      work: 1,
      duration_ms: 12,
      read_rows: 100,
      read_bytes: 4096,
      written_rows: 0,
      written_bytes: 0,
      instance: 'ch-1',
      failed: false,
    })
  })

  it('falls back to table, parameter and hash', () => {
    const line = row({ log_comment: '', query_parameters: { entity: 'c18' } })
    const record = normalise(line, DEFAULT_RULES, 'ch')
    expect(record).toMatchObject({ pattern: 'shop.orders|1234567890123456789|c18', entity_id: 'c18' })
  })

  const byTable: QueryRule = {
    table: 'orders',
    kinds: ['Select'],
    service: [{ value: 'or|ders' }],
    entity: [{ where: 'customer' }],
    operation: [{ field: 'query_kind' }],
    work: 'read_rows',
  }

  it('follows the first rule that fits, and counts work as configured', () => {
    expect(normalise(row(), [byTable, ...DEFAULT_RULES], 'ch')).toMatchObject({
      pattern: 'or/ders|Select|c17',
      work: 100,
    })
    expect(normalise(row({ tables: ['shop.carts'] }), [byTable, ...DEFAULT_RULES], 'ch')).toMatchObject({
      service_id: 'orders',
    })
  })

  it.each([
    ['no time', row({ started_us: undefined }), DEFAULT_RULES],
    ['no rule', row({ query_kind: 'Insert' }), [byTable]],
    ['no rule', row({ user: 'web' }), [{ ...byTable, user: 'etl' }]],
    ['no rule', row(), [{ ...byTable, hashes: ['7'] }]],
    ['no entity', row({ query: 'SELECT 1 FROM shop.orders' }), [byTable]],
    ['no service', row({ log_comment: '{broken', tables: ['a.b', 'c.d'] }), DEFAULT_RULES],
  ])('skips with the reason: %s', (reason, given, rules) => {
    expect(normalise(given, rules, 'ch')).toEqual({ skip: reason })
  })

  it('reads lines of a JSON log by their field names', () => {
    const rule: QueryRule = {
      service: [{ value: 'search' }],
      entity: [{ field: 'user' }],
      operation: [{ field: 'path' }],
      work: 'cost',
    }
    const line = { ts: '2026-01-01T00:00:00Z', user: 42, path: '/q', cost: 2.5, failed: true }
    expect(normalise(line, [rule], 'file')).toMatchObject({
      event_time_ms: 1_767_225_600_000,
      pattern: 'search|/q|42',
      work: 2.5,
      failed: true,
    })
    expect(normalise({ ...line, cost: -1 }, [rule], 'file')).toMatchObject({ work: 0 })
  })
})

describe('comparedWith', () => {
  it.each([
    ["SELECT 1 WHERE key = 'a''b\\'c'", "a'b'c"],
    ['SELECT 1 WHERE t.`key` = 42', '42'],
    ['SELECT 1 WHERE "key" IN (\'x\')', 'x'],
    ["SELECT 1 WHERE key = 'x' OR key = 'x'", 'x'],
    ["SELECT 1 WHERE key IN ('x', 'y')", null],
    ["SELECT 1 WHERE key = 'x' OR key = 'y'", null],
    ["SELECT 'key = 1' /* key = 2 */ -- key = 3", null],
    ['SELECT 1 WHERE key = other', null],
    ['SELECT 1 WHERE monkey = 1', null],
    ["SELECT 1 WHERE key = 'unfinished", null],
    // As a server logs parameters.
    ["SELECT 1 WHERE key = _CAST(7, 'UInt64')", '7'],
    ["SELECT 1 WHERE (key = _CAST(-7, 'Int64')) AND (n = 1)", '-7'],
    ["SELECT 1 WHERE key = _CAST('it\\'s', 'LowCardinality(String)')", "it's"],
    ["SELECT 1 WHERE key = _CAST(20454, 'Nullable(Date)')", '2026-01-01'],
    ["SELECT 1 WHERE key = _CAST(9999999999, 'Date')", '9999999999'],
    ["SELECT 1 WHERE key IN _CAST(['x'], 'Array(String)')", 'x'],
    ["SELECT 1 WHERE key IN (_CAST(20454, 'Date'))", '2026-01-01'],
    ["SELECT 1 WHERE key IN _CAST(['x', 'y'], 'Array(String)')", null],
    ["SELECT 1 WHERE key = _CAST(other, 'String')", null],
    ["SELECT 1 WHERE key = _CAST('x')", null],
    ['', null],
  ])('%s', (statement, value) => {
    expect(comparedWith(statement, 'key')).toBe(value)
  })
})

describe('files', () => {
  const at = Date.UTC(2026, 0, 5, 10)
  it.each([
    ['ms of a CSV, which are text', { event_time_ms: String(at) }],
    ['ms of JSON', { time: at }],
    ['ISO 8601', { ts: '2026-01-05T10:00:00Z' }],
    ['ISO 8601 with a zone', { timestamp: '2026-01-05T12:00:00+02:00' }],
    ['a time without a zone: UTC', { time: '2026-01-05 10:00:00' }],
    [
      'an export of query_log',
      { event_time: '2026-01-05 10:00:09', query_start_time: '2026-01-05 10:00:00' },
    ],
  ])('%s', (_, time) => {
    const line = { ...row({ started_us: undefined }), ...time }
    expect(normalise(line, DEFAULT_RULES, 'file')).toMatchObject({ event_time_ms: at })
  })

  it.each([
    ['not ended', { type: 'QueryStart' }],
    ['not initial', { is_initial_query: 0 }],
    ['not initial', { is_initial_query: '0' }],
    ['no time', { started_us: undefined, time: 'yesterday' }],
    ['no time', { started_us: undefined, time: '' }],
  ])('leaves out what is %s', (skip, more) => {
    expect(normalise(row(more), DEFAULT_RULES, 'file')).toEqual({ skip })
  })
})
