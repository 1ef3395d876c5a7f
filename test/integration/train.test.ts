import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { type Model, TABLES, topicSpec, VIEWS } from '#schemas'
import { createCodec, type RecordCodec } from '#core/codec'
import { decodeNet, globalNet } from '#core/forecasting'
import type { Broker, Warehouse } from '#core/ports'
import { ensureTables } from '#core/warehouse'
import { createWarehouse, ensureDatabase } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { replayPrefix } from '../../jobs/args.ts'
import { databaseOf } from '../../jobs/connect.ts'
import { runCli } from '../jobs/run-cli.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const REPLAY = uniqueName('train').replaceAll('_', '-')
const PREFIX = replayPrefix(REPLAY)
const STREAMS = 80
/** Each test starts the command several times; a busy machine takes its time. */
const PATIENCE_MS = 240_000
const WINDOWS = 260
const env: Record<string, string> = {}
const TRAIN = ['train', '--replay-id', REPLAY, '--seasons', '24s', '--workers', '1']

let broker: Broker
let codec: RecordCodec
let warehouse: Warehouse

/** A wave of 24 windows of a second per stream, and a forecast of each. */
async function fill(): Promise<void> {
  const start = 'toDateTime64(1700000000, 3)'
  await warehouse.command(`INSERT INTO features_streams
    (stream, window_start_ms, window_end_ms, bytes, packets, bytes_per_second, incomplete, kafka_partition, kafka_offset)
    SELECT concat('s', toString(s)), ${start} + w, ${start} + w + 1, 1, 1,
      (s + 1) * (100 + 50 * sin(w * 2 * pi() / 24) + rand32(s * 1000 + w) / 4294967296 * 10), false, 0, s * ${WINDOWS} + w
    FROM (SELECT arrayJoin(range(${STREAMS})) AS s, arrayJoin(range(${WINDOWS})) AS w)`)
  await warehouse.command(`INSERT INTO forecasts_traffic
    (scope, entity, metric, issued_at_ms, target_ms, horizon_ms, model, model_version)
    SELECT 'default', concat('s', toString(number)), 'bytes_per_second', ${start} + 1, ${start} + 7, 6000, 'naive', 'naive/1'
    FROM numbers(${STREAMS})`)
}

/** All records of the models topic, in order. */
async function models(): Promise<{ key: string; model: Model }[]> {
  const found: { key: string; value: Buffer }[] = []
  const reader = broker.readPartitions({
    partitions: [{ topic: `${PREFIX}models`, partition: 0, from: 'earliest' }],
    until: 'stable',
    onBatch: (cursor) => {
      while (cursor.next()) {
        const { buffer, keyStart, keyLength, valueStart, valueLength } = cursor
        found.push({
          key: buffer.toString('utf8', keyStart, keyStart + keyLength),
          value: Buffer.from(buffer.subarray(valueStart, valueStart + valueLength)),
        })
      }
    },
  })
  await reader.done
  await reader.close()
  return Promise.all(
    found.map(async ({ key, value }) => ({
      key,
      model: await codec.decodeAsync(value, 0, value.length, 'Model'),
    })),
  )
}

beforeAll(async () => {
  env['KAFKA_BROKERS'] = inject('kafkaBrokers')
  env['CLICKHOUSE_URL'] = inject('clickhouseUrl')
  env['SCHEMA_REGISTRY_URL'] = inject('registryUrl')
  broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'train-test' })
  codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))
  const admin = broker.admin()
  await admin.ensureTopics(
    ['models', 'events.calendar', 'alerts.forecasts'].map((name) => topicSpec(name, { prefix: PREFIX })),
  )
  await admin.close()
  const clickhouse = { url: inject('clickhouseUrl'), database: databaseOf(PREFIX) }
  await ensureDatabase(clickhouse)
  warehouse = createWarehouse(clickhouse)
  await ensureTables(warehouse, TABLES)
  for (const { name, select } of VIEWS) await warehouse.command(`CREATE OR REPLACE VIEW ${name} AS ${select}`)
  await fill()
})

afterAll(async () => {
  await warehouse.command(`DROP DATABASE IF EXISTS ${databaseOf(PREFIX)}`)
  await warehouse.close()
  const admin = broker.admin()
  await admin.deleteTopics((await admin.listTopics()).filter((name) => name.startsWith(PREFIX)))
  await admin.close()
  await broker.close()
})

test('a training that is killed loses no champion: the next run goes on where it was', {
  timeout: PATIENCE_MS,
}, async () => {
  const child = spawn(process.execPath, ['jobs/forestall.ts', ...TRAIN], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: 'ignore',
  })
  const exited = once(child, 'exit')
  await until(async () => (await models()).length > 0, { what: 'the first champions', timeoutMs: 120_000 })
  child.kill('SIGKILL')
  await exited
  const before = await models()
  const kept = new Map(before.map(({ key, model }) => [key, model]))
  expect(kept.size).toBeGreaterThan(0)
  expect(kept.size).toBeLessThan(STREAMS)

  const run = await runCli([...TRAIN, '--json'], env)
  expect(run).toMatchObject({ code: 0 })
  const summary = JSON.parse(run.stdout.trim().split('\n').at(-1)!) as Record<string, number>
  expect(summary).toMatchObject({ total: STREAMS, fresh: kept.size, done: STREAMS - kept.size, failed: 0 })

  const after = new Map((await models()).map(({ key, model }) => [key, model]))
  expect(after.size).toBe(STREAMS)
  for (const [key, model] of kept) expect(after.get(key)).toEqual(model)
  for (const [key, model] of after) {
    expect(key).toBe(`default|${model.entity}|bytes_per_second`)
    expect(model).toMatchObject({
      kind: 'series',
      step_ms: 1000,
      horizon: 6,
      points: WINDOWS,
      similar_to: '',
    })
    expect(model.evidence.mase).toBeLessThan(1.5)
    const { candidates, mase, margin } = model.evidence
    expect(candidates.map((c) => c.model)).toContain(model.model)
    // Nothing that was compared is better by the margin.
    expect(candidates[0]!.mase!).toBeGreaterThan((1 - margin) * mase! - 1e-9)
  }
})

test('a champion that stands is contested again and keeps its place unless something is better by the margin', {
  timeout: PATIENCE_MS,
}, async () => {
  const first = new Map((await models()).map(({ key, model }) => [key, model]))
  const run = await runCli([...TRAIN, '--all', '--json'], env)
  expect(run).toMatchObject({ code: 0 })
  expect(JSON.parse(run.stdout.trim().split('\n').at(-1)!)).toMatchObject({ done: STREAMS, changed: 0 })
  for (const { key, model } of (await models()).slice(-STREAMS)) {
    expect(model.version).toBeGreaterThan(first.get(key)!.version)
    expect(model.evidence.previous).toBe(first.get(key)!.model)
    expect(model.evidence.previous_mase).toBeCloseTo(model.evidence.mase!, 6)
  }
})

test('a network that many series share is trained, kept as plain weights, and takes part in the contest', {
  timeout: PATIENCE_MS,
}, async () => {
  const run = await runCli([...TRAIN, '--all', '--nets', 'mlp', '--net-passes', '2', '--json'], env)
  expect(run).toMatchObject({ code: 0 })
  expect(run.stderr).toMatch(/network mlp\.bytespersecond\.1000\.6: \d+ examples of 80 series/)
  const written = await models()
  const network = written.find(({ model }) => model.kind === 'network')!
  expect(network.key).toBe('default|*|net-mlp.bytespersecond.1000.6')
  const net = globalNet(decodeNet(network.model.state))
  expect(net.layout).toMatchObject({ window: 48, horizon: 6, seasons: [24] })
  const last = written.slice(-STREAMS).map(({ model }) => model)
  for (const { evidence } of last)
    expect(evidence.candidates.map((c) => c.model)).toContain('net-mlp.bytespersecond.1000.6')
  expect(new Set(last.map((model) => model.entity)).size).toBe(STREAMS)
})

test('with a schedule it stays, looks at what is due, and ends in order', {
  timeout: PATIENCE_MS,
}, async () => {
  const before = (await models()).length
  const child = spawn(
    process.execPath,
    ['jobs/forestall.ts', ...TRAIN, '--schedule', '* * * * * *', '--every', '1s'],
    { cwd: ROOT, env: { ...process.env, ...env }, stdio: 'ignore' },
  )
  const exited = once(child, 'exit')
  await until(async () => (await models()).length > before, { what: 'a scheduled run', timeoutMs: 120_000 })
  child.kill('SIGTERM')
  expect((await exited)[0]).toBe(0)
})

test('a schedule that is none is refused with its cure', { timeout: PATIENCE_MS }, async () => {
  const run = await runCli([...TRAIN, '--schedule', 'every day'], env)
  expect(run).toMatchObject({ code: 2 })
  expect(run.stderr).toMatch(/CONFIG_INVALID: --schedule/)
})
