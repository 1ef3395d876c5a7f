import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import { type RouteDecision, topicSpec } from '#schemas'
import { createCodec, type RecordCodec } from '#core/codec'
import type { Broker } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { replayPrefix } from '../../jobs/args.ts'
import { haproxyMissing, startBench } from '../infra/haproxy/bench.ts'
import { runCli } from '../jobs/run-cli.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { routeDecision } from '../support/route-decision.ts'
import { stackEnv } from '../support/stack-env.ts'
import { uniqueName } from '../support/unique.ts'

failOnLeaks()

const dir = mkdtempSync(join(tmpdir(), 'forestall-apply-'))
const env = stackEnv()
const topics: string[] = []
let broker: Broker
let codec: RecordCodec

beforeAll(() => {
  broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'commands-apply' })
  codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))
})
afterAll(async () => {
  await broker.admin().deleteTopics(topics)
  await broker.close()
  rmSync(dir, { recursive: true, force: true })
})

async function createTopics(specs: ReturnType<typeof topicSpec>[]): Promise<void> {
  await broker.admin().ensureTopics(specs)
  topics.push(...specs.map((spec) => spec.name))
}

async function write(topic: string, key: string | null, value: Uint8Array): Promise<void> {
  const producer = broker.producer()
  producer.add(topic, 0, Date.now(), key === null ? null : Buffer.from(key), value)
  await producer.flush()
  await producer.close()
}

const HAPROXY = haproxyMissing()

test.skipIf(HAPROXY !== '')(`follow --haproxy sets weights by the map ${HAPROXY}`, async () => {
  const bench = await startBench(['west', 'east'], { west: 100, east: 100 })
  onTestFinished(() => bench.close())
  const replayId = uniqueName('haproxy')
  const [routes, acks] = ['decisions.traffic.routes', 'acks.decisions'].map((base) =>
    topicSpec(base, { prefix: replayPrefix(replayId) }),
  )
  await createTopics([routes, acks].filter((spec) => spec !== undefined))
  await codec.prepare([{ topic: 'decisions.traffic.routes', record: 'RouteDecision' }])
  const shares = { 'region-1': 0.75, 'region-2': 0.25 }
  const decision = routeDecision(shares, { replayId }) as RouteDecision
  const value = codec.encode('decisions.traffic.routes', 'RouteDecision', decision)
  await write(routes?.name ?? '', 'paris>web', value)
  const map = join(dir, 'routes.json')
  const names = { backends: { 'paris>web': 'be' }, servers: { 'region-1': 'west', 'region-2': 'east' } }
  writeFileSync(map, JSON.stringify(names))
  const socket = ['--haproxy', bench.haproxy.socketPath, '--map', map]
  const { code, stderr, stdout } = await runCli(
    ['follow', ...socket, '--replay-id', replayId, '--for', '3s', '--json'],
    env,
  )
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({ applied: 1, rejected: 0 })
  const weights = (await bench.haproxy.client.showServersState('be')).map((s) => [s.server, s.weight])
  const [west = 0, east = 0] = ['west', 'east'].map(
    (name) => weights.find(([server]) => server === name)?.[1],
  )
  expect(Number(west) / (Number(west) + Number(east))).toBeCloseTo(0.75, 2)
  const wrong = join(dir, 'wrong.json')
  writeFileSync(wrong, JSON.stringify({ backend: {} }))
  const refused = await runCli(['follow', '--haproxy', bench.haproxy.socketPath, '--map', wrong], env)
  expect(refused).toMatchObject({ code: 2 })
  expect(refused.stderr).toMatch(/^CONFIG_INVALID: --map .* has another shape\.\ncure: Write \{"backends"/)
})

test('bridge turns goflow2 messages into flows, and keeps what cannot be one', async () => {
  const from = uniqueName('flows')
  await createTopics([{ name: from, partitions: 1, configs: {} }])
  topics.push(`dlq.${from}`, 'telemetry.flows')
  const { ipfix_json: messages } = JSON.parse(
    readFileSync(new URL('../fixtures/goflow2/recorded.json', import.meta.url), 'utf8'),
  ) as { ipfix_json: string[] }
  for (const text of messages) await write(from, null, Buffer.from(text))
  await write(from, null, Buffer.from('{'))
  const map = join(dir, 'regions.json')
  writeFileSync(map, JSON.stringify({ elsewhere: 'internet' }))
  const { code, stdout } = await runCli(
    ['bridge', '--from', from, '--map', map, '--for', '4s', '--json'],
    env,
  )
  expect(code).toBe(0)
  const counts = { records: messages.length + 1, flows: messages.length, deadLetters: 1 }
  expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toEqual(counts)
  const again = await runCli(['bridge', '--from', from, '--for', '3s', '--json'], env)
  expect(JSON.parse(again.stdout.trim().split('\n').at(-1) ?? '')).toEqual({
    records: 0,
    flows: 0,
    deadLetters: 0,
  })
  expect(await runCli(['bridge', '--from', 'nope'], env)).toMatchObject({ code: 1 })
})
