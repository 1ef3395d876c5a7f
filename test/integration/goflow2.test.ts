import { Buffer } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { Kafka, logLevel, type Message } from 'kafkajs'
import { afterAll, afterEach, beforeAll, describe, expect, inject, it } from 'vitest'
import {
  createFlowAdapter,
  type FlowBridge,
  type FlowBridgeOptions,
  runFlowAdapter,
} from '../../infra/adapters/index.ts'
import { createBroker } from '../../infra/kafka/index.ts'
import { createRegistryClient } from '../../infra/registry/index.ts'
import { createCodec, type RecordCodec } from '../../pipelines/core/codec/index.ts'
import { type Broker, ForestallError } from '../../pipelines/core/ports/index.ts'
import { type Flow, type RecordByName, topicSpec } from '../../schemas/index.ts'
import { message } from '../infra/adapters/goflow2/messages.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

const brokers = (): string[] => inject('kafkaBrokers').split(',')
const recorded = JSON.parse(
  readFileSync(new URL('../fixtures/goflow2/recorded.json', import.meta.url), 'utf8'),
) as { netflow5_protobuf_hex: string[]; ipfix_json: string[] }

failOnLeaks()

let broker: Broker
let codec: RecordCodec
/** The independent client: it writes what goflow2 would and reads what a user would. */
let kafka: Kafka
const topics: string[] = []
const bridges: FlowBridge[] = []

beforeAll(() => {
  broker = createBroker({
    bootstrapBrokers: brokers(),
    clientId: 'goflow2-test',
    // The independent client reads gzip without a further package, lz4 not.
    compression: 'gzip',
  })
  codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))
  kafka = new Kafka({ brokers: brokers(), logLevel: logLevel.NOTHING })
})
afterEach(async () => {
  await Promise.all(bridges.splice(0).map((b) => b.stop()))
})
afterAll(async () => {
  const admin = broker.admin()
  await admin.deleteTopics(topics)
  await broker.close()
})

/** A raw topic of two partitions, with its output and dead letters under a prefix of its own. */
async function createTopics() {
  const inputTopic = uniqueName('flows')
  const prefix = `${uniqueName('test')}.`
  const output = topicSpec('telemetry.flows', { prefix, replicationFactor: 1 })
  const deadLetters = topicSpec(`dlq.${inputTopic}`, { replicationFactor: 1 })
  const admin = broker.admin()
  await admin.ensureTopics([{ name: inputTopic, partitions: 2, replicationFactor: 1 }, output, deadLetters])
  topics.push(inputTopic, output.name, deadLetters.name)
  return {
    inputTopic,
    outputTopic: output.name,
    deadLetterTopic: deadLetters.name,
    groupId: uniqueName('bridge'),
  }
}

type Names = Awaited<ReturnType<typeof createTopics>>

async function send(topic: string, messages: Message[]): Promise<void> {
  const producer = kafka.producer()
  await producer.connect()
  await producer.send({ topic, messages })
  await producer.disconnect()
}

/** Waits until the group has committed `count` records of its input: then all output is written. */
async function untilCommitted({ inputTopic, groupId }: Names, count: number): Promise<void> {
  const admin = broker.admin()
  const partitions = [0, 1].map((partition) => ({ topic: inputTopic, partition }))
  await until(
    async () =>
      (await admin.committed(groupId, partitions)).reduce((sum, c) => sum + Math.max(c.offset, 0), 0) ===
      count,
    { what: `${count} committed records` },
  )
  await admin.close()
}

/** All committed records of a topic, by the independent client: up to a mark that it puts behind them itself. */
async function readAll<R extends 'Flow' | 'DeadLetter'>(
  topic: string,
  record: R,
  partitions: number,
): Promise<{ key: string; value: RecordByName[R] }[]> {
  await send(
    topic,
    Array.from({ length: partitions }, (_, partition) => ({ key: 'mark', value: null, partition })),
  )
  const consumer = kafka.consumer({ groupId: uniqueName('reader'), maxWaitTimeInMs: 50 })
  const records: { key: string; value: RecordByName[R] }[] = []
  let marks = 0
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message: { key, value } }) => {
      if (value === null) marks++
      else records.push({ key: String(key), value: await codec.decodeAsync(value, 0, value.length, record) })
    },
  })
  await until(() => marks === partitions, { what: `the end of ${topic}` })
  await consumer.disconnect()
  return records
}

async function run(names: Names, options: Partial<FlowBridgeOptions> = {}): Promise<FlowBridge> {
  const { inputTopic, outputTopic, groupId } = names
  const bridge = await runFlowAdapter({
    broker,
    codec,
    inputTopic,
    outputTopic,
    groupId,
    commitIntervalMs: 20,
    ...options,
  })
  bridges.push(bridge)
  return bridge
}

describe('runFlowAdapter', () => {
  it('copies recorded messages as flows and the rest, with their bytes, to the dead letters', async () => {
    const names = await createTopics()
    const binary = recorded.netflow5_protobuf_hex.map((m) => Buffer.from(m, 'hex'))
    const json = recorded.ipfix_json.map((m) => Buffer.from(m))
    const v1 = message({ 2: 1_600_000_000n, 9: 10n, 10: 1n })
    await send(
      names.inputTopic,
      [...binary, ...json, v1, Buffer.from('noise')].map((value) => ({ value, partition: 1 })),
    )
    await send(names.inputTopic, [{ key: 'k', value: null, partition: 0 }])
    await run(names)
    await untilCommitted(names, 8)
    const flows = await readAll(names.outputTopic, 'Flow', 4)
    const adapter = createFlowAdapter()
    const expected = [...binary, ...json].map((m) => adapter.convert(m, 0, m.length, 0) as Flow)
    const byHash = (a: Flow, b: Flow) => a.flow_hash - b.flow_hash
    expect(flows.map((f) => f.value).sort(byHash)).toEqual(expected.sort(byHash))
    expect(flows.every((f) => f.key === f.value.stream)).toBe(true)

    const letters = await readAll(names.deadLetterTopic, 'DeadLetter', 1)
    const reasons = Object.fromEntries(letters.map(({ key, value }) => [key, value.reason_code]))
    expect(reasons).toEqual({
      '1:5': 'RECORD_FORMAT_OLD',
      '1:6': 'RECORD_UNDECODABLE',
      '0:0': 'RECORD_INVALID',
    })
    const old = letters.find((l) => l.key === '1:5')?.value
    expect(old?.value?.equals(v1)).toBe(true)
    expect(old).toMatchObject({ topic: names.inputTopic, partition: 1, offset: 5, topology: names.groupId })
  })

  it('copies each message once, though a bridge is replaced and another joins and leaves', async () => {
    const names = await createTopics()
    const total = 6000
    const batch = (from: number, to: number): Message[] =>
      Array.from({ length: to - from }, (_, i) => ({
        value: message({ 110: 1_790_000_000_000_000_000n, 9: BigInt(from + i + 1), 10: 1n }),
        partition: i % 2,
      }))
    const first = await run(names)
    await send(names.inputTopic, batch(0, 2000))
    await until(() => first.counters().commits > 0, { what: 'a first commit' })
    const second = await run(names, { slot: '1' })
    await send(names.inputTopic, batch(2000, 4000))
    await until(() => second.counters().commits > 0, { what: 'a commit of the second bridge' })
    // The same slot again, as after a crash: whatever the second had open is undone.
    const replaced = await run(names, { slot: '1' })
    await send(names.inputTopic, batch(4000, total))
    await until(() => replaced.counters().commits > 0, { what: 'a commit of its replacement' })
    await first.stop()
    await untilCommitted(names, total)
    const flows = await readAll(names.outputTopic, 'Flow', 4)
    expect(flows).toHaveLength(total)
    expect(new Set(flows.map((f) => f.value.bytes)).size).toBe(total)
  })

  it('commits by size before the interval is over', async () => {
    const names = await createTopics()
    await run(names, { commitIntervalMs: 3_600_000, maxPendingBytes: 1 })
    await send(
      names.inputTopic,
      recorded.ipfix_json.map((value) => ({ value, partition: 0 })),
    )
    await untilCommitted(names, 1)
    expect(await readAll(names.outputTopic, 'Flow', 4)).toHaveLength(1)
  })

  it('names an output topic that does not exist', async () => {
    const names = await createTopics()
    const started = run({ ...names, outputTopic: uniqueName('none') })
    await expect(started).rejects.toThrow('does not exist')
    await expect(started).rejects.toBeInstanceOf(ForestallError)
  })
})
