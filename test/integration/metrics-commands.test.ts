import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import { type RouteDecision, topicSpec } from '#schemas'
import { createCodec } from '#core/codec'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { replayPrefix } from '../../jobs/args.ts'
import { type RunningCli, startCli } from '../jobs/run-cli.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { routeDecision } from '../support/route-decision.ts'
import { stackEnv } from '../support/stack-env.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'
import { type Instances, startInstances } from './query-router-world.ts'

failOnLeaks()

let instances: Instances
let folder = ''

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'metrics-commands-'))
  instances = await startInstances(2)
})
afterAll(async () => {
  await instances.stop()
  rmSync(folder, { recursive: true })
})

/** A command with `--metrics 0`; resolves once it says where they are. */
async function start(...args: string[]): Promise<{ running: RunningCli; url: string }> {
  const running = startCli([...args, '--metrics', '0'], stackEnv())
  const url = await until(() => /metrics at (\S+)\n/.exec(running.stderr())?.[1] ?? '', {
    timeoutMs: 60_000,
    what: 'its metrics',
  })
  return { running, url }
}

const scrape = async (url: string): Promise<string> => (await fetch(url)).text()

/** The value of a series: its name, and labels in any order. */
function valueOf(text: string, name: string, labels: Record<string, string>): number {
  const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`)
  const line = text
    .split('\n')
    .find((l) => l.startsWith(`${name}{`) && wanted.every((label) => l.includes(label)))
  return Number(line?.split(' ').at(-1) ?? Number.NaN)
}

test('a router tells what it was asked, how its replicas do, and how far behind they are', async () => {
  const service = uniqueName('svc')
  const file = join(folder, 'router.json')
  const config = {
    service,
    instances: instances.list.map(({ name, url }) => ({ name, url })),
    tables: [{ table: 'orders', keyColumn: 'customer' }],
    segments: 16,
    replicas: 2,
    port: 0,
    changes: 'header',
    acknowledge: 'first',
  }
  writeFileSync(file, JSON.stringify(config))
  const { running, url } = await start('query-router', file, '--json', '--for', '10m')
  const { url: router } = JSON.parse(await running.firstLine()) as { url: string }
  const send = async (sql: string, headers: Record<string, string> = {}): Promise<number> => {
    const answer = await fetch(router, { method: 'POST', body: sql, headers })
    await answer.text()
    return answer.status
  }
  const create = 'CREATE TABLE orders (customer String, item UInt64) ENGINE = MergeTree ORDER BY customer'
  expect(await send(create, { 'X-Forestall-Change': 'all' })).toBe(200)
  for (let i = 0; i < 3; i++) expect(await send(`INSERT INTO orders VALUES ('a', ${i})`)).toBe(200)
  for (let i = 0; i < 4; i++) expect(await send("SELECT * FROM orders WHERE customer = 'a'")).toBe(200)
  expect(await send('SELECT count() FROM orders')).not.toBe(200)

  const text = await scrape(url)
  const count = (name: string, more: Record<string, string> = {}): number =>
    valueOf(text, `forestall_router_${name}`, { service, ...more })
  expect(count('statements_total', { kind: 'insert' })).toBe(3)
  expect(count('statements_total', { kind: 'read' })).toBe(4)
  expect(count('statements_total', { kind: 'refused' })).toBe(1)
  expect(count('answers_total', { outcome: 'answered' })).toBe(4)
  expect(count('answer_seconds_count')).toBe(4)
  expect(count('answer_seconds_bucket', { le: '+Inf' })).toBe(4)
  expect(count('writes_total', { outcome: 'acknowledged' })).toBe(3)
  expect(count('writes_total', { outcome: 'refused' })).toBe(0)
  expect(count('write_seconds_sum')).toBeGreaterThan(0)
  expect(count('leads')).toBe(1)
  for (const { name: replica } of instances.list) {
    expect(count('instance_up', { replica })).toBe(1)
    expect(count('instance_segments', { replica })).toBe(16)
    expect(count('instance_slowness_ratio', { replica })).toBeGreaterThan(0)
    expect(count('instance_in_flight', { replica })).toBe(0)
  }
  expect(count('moves', { phase: 'failed' })).toBe(0)

  // A replica that is gone falls behind what is still written, and is said to be down.
  const [victim] = instances.list
  if (victim === undefined) throw new Error('no instance')
  await victim.process.stop()
  for (let i = 0; i < 3; i++) expect(await send(`INSERT INTO orders VALUES ('b', ${i})`)).toBe(200)
  await until(
    async () => {
      const now = await scrape(url)
      const own = { service, replica: victim.name }
      const isUp = valueOf(now, 'forestall_router_instance_up', own)
      return isUp === 0 && valueOf(now, 'forestall_router_log_lag_records', own) >= 3
    },
    { timeoutMs: 60_000, everyMs: 200, what: 'the replica is down and behind' },
  )
  // Not only after the ten minutes.
  expect(await running.end('SIGTERM')).toEqual([0, null])
}, 180_000)

test('a follower tells what it has put into force, how old that is, and what it has acknowledged', async () => {
  const replayId = uniqueName('follow')
  const prefix = replayPrefix(replayId)
  const topic = 'decisions.traffic.routes'
  const broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: replayId })
  const admin = broker.admin()
  onTestFinished(async () => {
    await admin.deleteTopics([`${prefix}${topic}`, `${prefix}acks.decisions`])
    await admin.close()
    await broker.close()
  })
  await admin.ensureTopics([topic, 'acks.decisions'].map((name) => topicSpec(name, { prefix })))
  const codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))
  await codec.prepare([{ topic, record: 'RouteDecision' }])
  const issuedAtMs = Date.now() - 5000
  const decision = routeDecision({ west: 1 }, { issuedAtMs, replayId }) as RouteDecision
  const { running, url } = await start(
    'follow',
    '--table',
    '--id',
    'edge',
    '--replay-id',
    replayId,
    '--for',
    '10m',
  )
  const producer = broker.producer()
  const bytes = codec.encode(topic, 'RouteDecision', decision)
  producer.add(`${prefix}${topic}`, 0, Date.now(), Buffer.from('paris>web'), bytes)
  await producer.flush()
  await producer.close()

  const labels = { follower: 'edge', topic }
  const text = await until(
    async () => {
      const now = await scrape(url)
      return valueOf(now, 'forestall_decisions_total', { ...labels, state: 'applied' }) > 0 ? now : ''
    },
    { timeoutMs: 60_000, what: 'the decision is in force' },
  )
  const of = (name: string): number => valueOf(text, `forestall_${name}`, labels)
  expect(of('decisions_held')).toBe(1)
  expect(of('decisions_oldest_issued_timestamp_seconds')).toBe(issuedAtMs / 1000)
  expect(of('decisions_newest_issued_timestamp_seconds')).toBe(issuedAtMs / 1000)
  expect(of('decisions_epoch')).toBe(decision.epoch)
  expect(of('acks_total')).toBeGreaterThan(0)
  expect(of('ack_failures_total')).toBe(0)
  expect(of('follower_caught_up')).toBe(1)
  expect(await running.end('SIGTERM')).toEqual([0, null])
}, 180_000)

test('a scaler and a bridge tell what they were asked and what they did', async () => {
  const from = uniqueName('goflow')
  const broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: from })
  const admin = broker.admin()
  onTestFinished(async () => {
    await admin.deleteTopics([from, `dlq.${from}`])
    await admin.close()
    await broker.close()
  })
  await admin.ensureTopics([{ name: from, partitions: 1 }])
  const producer = broker.producer()
  producer.add(from, 0, Date.now(), null, Buffer.from('{'))
  await producer.flush()
  await producer.close()

  const bridge = await start('bridge', '--from', from)
  const part = { subsystem: 'telemetry', part: 'bridge' }
  const bridged = async (name: string, labels = {}): Promise<number> =>
    valueOf(await scrape(bridge.url), `forestall_${name}`, { ...part, ...labels })
  await until(async () => (await bridged('dead_letters_total')) === 1, {
    timeoutMs: 60_000,
    what: 'a dead letter',
  })
  expect(await bridged('records_in_total')).toBe(1)
  expect(await bridged('records_out_total')).toBe(0)
  // The end marker of a transaction counts as a record; that of the bridge is in another topic.
  await until(async () => (await bridged('lag_records', { topic: from })) === 0, {
    timeoutMs: 60_000,
    what: 'everything is committed',
  })
  expect(await bridge.running.end('SIGTERM')).toEqual([0, null])

  const scaler = await start('scaler', '--port', '0', '--replay-id', uniqueName('scaler'))
  const text = await scrape(scaler.url)
  expect(valueOf(text, 'forestall_scaler_calls_total', { outcome: 'answered' })).toBe(0)
  const labels = { follower: 'scaler', topic: 'decisions.data.scale' }
  expect(valueOf(text, 'forestall_decisions_held', labels)).toBe(0)
  expect(await scaler.running.end('SIGTERM')).toEqual([0, null])
}, 180_000)
