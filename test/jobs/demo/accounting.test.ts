import { beforeAll, describe, expect, test } from 'vitest'
import type { OffsetLedger, StreamFeature } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { type Broker, manualClock, manualTimers, type Warehouse } from '#core/ports'
import { audit, type AuditReport, type Truth } from '../../../jobs/demo/accounting.ts'
import { runLoad } from '../../../jobs/demo/run-load.ts'
import { demoNetwork } from '../../../jobs/demo/scenario.ts'
import type { MemoryBroker } from '../../../pipelines/core/runtime/testing/memory-broker.ts'
import { countingTopology, decodeAs, eachRecord, ensureTopics, memoryWorld, process } from './pipeline.ts'

const START = Date.UTC(2026, 0, 1)
const windowMs = 500
const OUTPUTS = [
  'features.streams',
  'features.regions',
  'audit.offsets',
  'dlq.telemetry.flows',
  'dlq.telemetry.regions',
]
let broker: MemoryBroker
let codec: RecordCodec
let truth: Truth

/** Six seconds of demo load, with everything that can be wrong with it, through a real topology. */
beforeAll(async () => {
  ;({ broker, codec } = await memoryWorld())
  const clock = manualClock(START)
  const timers = manualTimers(clock)
  const running = await runLoad({
    broker,
    codec,
    clock,
    timers,
    network: demoNetwork(),
    seed: 3,
    windowMs,
    recordsPerSecond: 600,
    badPerSecond: 5,
    selfPairsPerSecond: 2,
  })
  for (let step = 0; step < 240; step++) {
    timers.advance(25)
    await new Promise(setImmediate)
  }
  ;({ truth } = await running.stop())
  await process(broker, codec, countingTopology(windowMs, START - 60_000), {
    clock,
    windows: truth.streams.windows + truth.regions.windows,
  })
})

const report = (
  over: { broker?: Broker; warehouse?: Warehouse; prefix?: string } = {},
): Promise<AuditReport> =>
  audit({
    broker: over.broker ?? broker,
    codec,
    truth,
    warehouse: over.warehouse ?? null,
    topicPrefix: over.prefix ?? '',
  })

/** The same outputs under another prefix, with one of them changed: null drops it, an array replaces it. */
async function mutated(
  prefix: string,
  change: (base: string, value: Buffer, n: number) => (Buffer | null)[],
): Promise<AuditReport> {
  await ensureTopics(broker, prefix)
  const producer = broker.producer()
  for (const base of ['telemetry.flows', 'telemetry.regions']) {
    await eachRecord(broker, [base], '', (_base, value, { partition, timestampMs }) =>
      producer.add(`${prefix}${base}`, partition, timestampMs, null, value),
    )
  }
  const counts = new Map<string, number>()
  await eachRecord(broker, OUTPUTS, '', (base, value, { partition, timestampMs, key }) => {
    const n = counts.get(base) ?? 0
    counts.set(base, n + 1)
    for (const out of value === null ? [null] : change(base, value, n))
      if (out !== null) producer.add(`${prefix}${base}`, partition, timestampMs, key, out)
  })
  await producer.flush()
  return report({ prefix })
}

/** Changes the n-th record of one output. */
const only =
  (wanted: string, at: number, change: (value: Buffer) => (Buffer | null)[]) =>
  (base: string, value: Buffer, n: number) =>
    base === wanted && n === at ? change(value) : [value]

const feature = (change: (row: StreamFeature) => StreamFeature) => (value: Buffer) => [
  codec.encode('features.streams', 'StreamFeature', change(decodeAs(codec, 'StreamFeature')(value))),
]
const entry = (change: (row: OffsetLedger) => OffsetLedger) => (value: Buffer) => [
  codec.encode('audit.offsets', 'OffsetLedger', change(decodeAs(codec, 'OffsetLedger')(value))),
]

test('an honest pipeline is sound, and every kind of bad record was in it', async () => {
  const found = await report()
  expect(found.details).toEqual([])
  expect(found).toMatchObject({ lost: 0, duplicated: 0, wrong: 0, unknown: 0, sound: true, late: 0 })
  expect(found.windows).toBe(truth.streams.windows + truth.regions.windows)
  expect(Object.keys(found.deadLetters).toSorted()).toEqual([
    'RECORD_INVALID',
    'RECORD_SCHEMA_UNKNOWN',
    'RECORD_TIME_INVALID',
    'RECORD_UNDECODABLE',
  ])
  expect(found.skipped).toEqual({ self_pair: truth.flows.skipped })
  expect(truth.flows.skipped).toBeGreaterThan(5)
  expect(truth.flows.records).toBeGreaterThan(3600)
})

describe('what an audit catches', () => {
  test('a copy that changes nothing stays sound', async () => {
    expect(await mutated('same.', (_base, value) => [value])).toMatchObject({ sound: true, details: [] })
  })

  test('a window that is missing', async () => {
    const found = await mutated(
      'gone.',
      only('features.streams', 9, () => []),
    )
    expect(found.lost).toBeGreaterThan(0)
    expect(found).toMatchObject({ duplicated: 0, wrong: 0, sound: false })
    expect(found.details).toHaveLength(1)
  })

  test('a record that is missing in a window', async () => {
    const less = feature((row) => ({ ...row, records: row.records - 1, bytes: row.bytes - 7 }))
    expect(await mutated('less.', only('features.streams', 9, less))).toMatchObject({ lost: 1, sound: false })
  })

  test('a window that is there twice', async () => {
    const found = await mutated(
      'twice.',
      only('features.streams', 9, (value) => [value, value]),
    )
    expect(found).toMatchObject({ lost: 0, duplicated: 1, wrong: 0, sound: false })
  })

  test('a record that was counted twice', async () => {
    const more = feature((row) => ({ ...row, records: row.records + 1 }))
    const found = await mutated('more.', only('features.streams', 9, more))
    expect(found).toMatchObject({ lost: 0, duplicated: 1, sound: false })
  })

  test('bytes that do not add up', async () => {
    const other = feature((row) => ({ ...row, bytes: row.bytes * (1 + 1e-6) }))
    const found = await mutated('bytes.', only('features.streams', 9, other))
    expect(found).toMatchObject({ lost: 0, duplicated: 0, wrong: 1, sound: false })
  })

  test('a window that nothing was sent for', async () => {
    const elsewhere = feature((row) => ({ ...row, stream: 'nobody>knows' }))
    const found = await mutated('else.', only('features.streams', 9, elsewhere))
    expect(found).toMatchObject({ duplicated: 0, wrong: 1, sound: false })
    expect(found.lost).toBeGreaterThan(0)
  })

  test('a window of a region that is missing', async () => {
    const found = await mutated(
      'region.',
      only('features.regions', 3, () => []),
    )
    expect(found).toMatchObject({ lost: 2, duplicated: 0, wrong: 0, sound: false })
  })

  test('a dead letter that is missing, and one that is there twice', async () => {
    expect(
      await mutated(
        'dlq0.',
        only('dlq.telemetry.flows', 2, () => []),
      ),
    ).toMatchObject({ lost: 1 })
    expect(
      await mutated(
        'dlq2.',
        only('dlq.telemetry.flows', 2, (value) => [value, value]),
      ),
    ).toMatchObject({
      lost: 0,
      duplicated: 1,
      sound: false,
    })
  })

  test('a commit that is missing in the ledger, or there twice', async () => {
    const missing = await mutated(
      'ledger0.',
      only('audit.offsets', 0, () => []),
    )
    expect(missing.lost).toBeGreaterThan(0)
    const twice = await mutated(
      'ledger2.',
      only('audit.offsets', 0, (value) => [value, value]),
    )
    expect(twice.duplicated).toBeGreaterThan(0)
  })

  test('a ledger entry that does not add up', async () => {
    const wrong = entry((row) => ({ ...row, accepted: row.accepted - 1 }))
    const found = await mutated('sums.', only('audit.offsets', 0, wrong))
    expect(found.sound).toBe(false)
    expect(found.details.join()).toMatch(/accounted for/)
  })
})

/** The table as a warehouse with FINAL would show it, from what stands in Kafka. */
async function tableOf(change: (rows: StreamFeature[]) => StreamFeature[]): Promise<Warehouse> {
  const rows: StreamFeature[] = []
  await eachRecord(broker, ['features.streams'], '', (_base, value) => {
    if (value !== null) rows.push(decodeAs(codec, 'StreamFeature')(value))
  })
  const kept = change(rows)
  const refuse = () => Promise.reject(new Error('the audit only reads'))
  return {
    query: async <Row>(sql: string, params: Record<string, unknown> = {}): Promise<Row[]> => {
      if (sql.includes('features_regions')) return regionRows<Row>(sql, params)
      if (sql.includes('DISTINCT'))
        return [...new Set(kept.map((r) => r.stream))].map((name) => ({ name }) as Row)
      return kept
        .filter((r) => r.stream === params['name'])
        .map((r) => ({ at: r.window_start_ms, records: r.records, bytes: r.bytes, n: 1 }) as Row)
    },
    command: refuse,
    insertRowBinary: refuse,
    close: async () => {},
  }
}

function regionRows<Row>(sql: string, params: Record<string, unknown>): Row[] {
  if (sql.includes('DISTINCT')) return truth.regions.keys.map((name) => ({ name }) as Row)
  const rows: Row[] = []
  truth.regions.forEach((key, at, { records }) => {
    if (key === params['name']) rows.push({ at, records, bytes: 0, n: 1 } as Row)
  })
  return rows
}

test('a row that the warehouse lacks is lost although Kafka has it', async () => {
  expect(await report({ warehouse: await tableOf((rows) => rows) })).toMatchObject({ sound: true })
  const found = await report({ warehouse: await tableOf((rows) => rows.slice(1)) })
  expect(found.lost).toBeGreaterThan(0)
  expect(found.details.join()).toMatch(/^ClickHouse/)
})
