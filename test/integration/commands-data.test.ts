import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { credentials } from '@grpc/grpc-js'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import { type Ack, type DataScaleBody, topicSpec } from '#schemas'
import { createCodec, type RecordCodec } from '#core/codec'
import { makeDecision } from '#core/decisions'
import { type Broker, mulberry32 } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { scalerService } from '../../infra/keda/scaler.ts'
import { replayPrefix } from '../../jobs/args.ts'
import { readTopic } from '../../jobs/topic-reader.ts'
import { runCli, startCli } from '../jobs/run-cli.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { stackEnv } from '../support/stack-env.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()

const REPLAY = uniqueName('data')
const PREFIX = replayPrefix(REPLAY)
const env = stackEnv()
let broker: Broker
let codec: RecordCodec

beforeAll(async () => {
  broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'commands-data' })
  codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))
  const admin = broker.admin()
  await admin.ensureTopics(
    ['decisions.data.scale', 'acks.decisions'].map((name) =>
      topicSpec(name, { prefix: PREFIX, replicationFactor: 1 }),
    ),
  )
  await admin.close()
  await codec.prepare([{ topic: 'decisions.data.scale', record: 'DataScaleDecision' }])
})
afterAll(() => broker.close())

test('import-queries copies a file once and says what it left out', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'forestall-queries-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const log = join(folder, 'queries.jsonl')
  const rules = join(folder, 'rules.json')
  writeFileSync(log, ['{"ts": 1767225600000, "user": "u1"}', '{"ts": 1767225600001}'].join('\n'))
  const rule = { service: [{ value: 'search' }], entity: [{ field: 'user' }], operation: [{ value: 'q' }] }
  writeFileSync(rules, JSON.stringify([rule]))
  const args = ['import-queries', '--file', log, '--rules', rules, '--replay-id', REPLAY, '--json']
  const first = await runCli(args, env)
  expect(first.stderr).toBe('2 rows\n')
  expect(JSON.parse(first.stdout)).toEqual({ rows: 2, records: 1, skipped: { 'no entity': 1 } })
  expect(JSON.parse((await runCli(args, env)).stdout)).toMatchObject({ rows: 0 })
  writeFileSync(rules, '[{"service": []}]')
  const refused = await runCli(args, env)
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringContaining('CONFIG_INVALID: --rules') })
})

async function writeDecision(instances: number): Promise<string> {
  const body: DataScaleBody = {
    service: 'orders',
    instances,
    instances_now: 2,
    min_instances: 1,
    max_instances: 12,
    capacity: 100,
    peak_ms: 0,
    load_q50: 1,
    load_q90: 2,
    load_q99: 3,
  }
  const decision = makeDecision<DataScaleBody>({
    subsystem: 'data-sharding',
    entity: 'orders',
    body,
    previous: null,
    issuedAtMs: Date.now(),
    lifeMs: null,
    mode: 'apply',
    replayId: REPLAY,
    reason: { risk: 0.4, drivers: ['rises'], q10: 1, q50: 2, q90: 3, cost_now: 2, cost_after: 0.5 },
    inputs: [],
    modelVersion: 'm1',
    policyVersion: 'p1',
    random: mulberry32(instances),
  })
  const producer = broker.producer()
  const topic = 'decisions.data.scale'
  producer.add(
    PREFIX + topic,
    0,
    0,
    Buffer.from('orders'),
    codec.encode(topic, 'DataScaleDecision', decision),
  )
  await producer.flush()
  await producer.close()
  return decision.decision_id
}

async function readAcks(): Promise<Ack[]> {
  const acks: Ack[] = []
  await readTopic(broker, codec, `${PREFIX}acks.decisions`, 'Ack', (ack) => void acks.push(ack))
  return acks
}

test('scaler tells KEDA each count as it is decided, and acknowledges it', async () => {
  const first = await writeDecision(3)
  const scaler = startCli(['scaler', '--port', '0', '--replay-id', REPLAY, '--json'], env)
  const line = await scaler.firstLine()
  const { address } = JSON.parse(line) as { address: string }
  const Client = scalerService()
  const client = new Client(address, credentials.createInsecure())
  onTestFinished(() => client.close())
  const instances = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const request = {
        scaledObjectRef: { scalerMetadata: { service: 'orders' } },
        metricName: 'forestall-orders-instances',
      }
      const ask = client['GetMetrics'] as (
        request: unknown,
        done: (error: Error | null, answer: { metricValues: { metricValueFloat: number }[] }) => void,
      ) => void
      ask.call(client, request, (error, answer) =>
        error === null ? resolve(answer.metricValues[0]?.metricValueFloat ?? -1) : reject(error),
      )
    })
  await until(async () => (await instances()) === 3, { what: '3 instances' })
  const second = await writeDecision(5)
  await until(async () => (await instances()) === 5, { what: '5 instances' })
  const applied = (): Promise<string[]> =>
    readAcks().then((acks) => acks.filter((a) => a.state === 'applied').map((a) => a.decision_id))
  await until(async () => (await applied()).length === 2, { what: '2 acks' })
  expect(await applied()).toEqual([first, second])
  expect((await scaler.end('SIGTERM'))[0]).toBe(0)
})
