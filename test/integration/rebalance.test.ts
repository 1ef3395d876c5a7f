import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { createCodec } from '#core/codec'
import { type Broker, partitionKey, systemClock } from '#core/ports'
import {
  createRecordReaders,
  createWorker,
  END_OF_INPUT_MS,
  internalTopics,
  markHeaders,
  type Worker,
} from '#core/runtime'
import { createBroker } from '#infra/kafka'
import { createMemoryRegistry } from '../../pipelines/core/runtime/testing/memory-registry.ts'
import { type StreamFeature, topicName } from '#schemas'
import { readTopic } from '../../jobs/demo/topic-reader.ts'
import { flow, flowWindows, lines, offline } from '../core/runtime/fixtures.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()

const PARTITIONS = 6
const WINDOW_MS = 1000
const prefix = `${uniqueName('rb')}.`
const name = (topic: string) => topicName(topic, prefix)
const topology = flowWindows({ sizeMs: WINDOW_MS, graceMs: 500, merge: PARTITIONS })
const codec = createCodec(createMemoryRegistry())
const troubles: Error[] = []
let broker: Broker

beforeAll(async () => {
  broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: prefix })
  const admin = broker.admin()
  const wide = [
    'telemetry.flows',
    'features.streams',
    ...internalTopics(topology, () => 1).map((t) => t.name),
  ]
  await admin.ensureTopics([
    ...wide.map((topic) => ({ name: name(topic), partitions: PARTITIONS })),
    ...['dlq.telemetry.flows', 'audit.offsets'].map((topic) => ({ name: name(topic), partitions: 1 })),
  ])
  await admin.close()
  await codec.prepare([
    { topic: 'telemetry.flows', record: 'Flow' },
    { topic: 'features.streams', record: 'StreamFeature' },
    { topic: 'dlq.telemetry.flows', record: 'DeadLetter' },
    { topic: 'audit.offsets', record: 'OffsetLedger' },
  ])
})
afterAll(async () => {
  await broker.close()
})

async function launch(slot: string): Promise<Worker> {
  const worker = createWorker({
    topology,
    broker,
    prefix,
    encoder: codec,
    readers: createRecordReaders(codec),
    slot,
    clock: systemClock,
    commitIntervalMs: 20,
    sessionTimeoutMs: 6000,
    onFatal: (error) => troubles.push(error),
    onWarning: (error) => troubles.push(error),
  })
  await worker.start()
  return worker
}

test('from two workers to three and back, with a rolling restart: who stays keeps its state, nothing is lost or doubled', async () => {
  const flows: ReturnType<typeof flow>[] = []
  const producer = broker.producer()
  const beganMs = Date.now()
  let sent = 0
  const send = (count: number): void => {
    for (let i = 0; i < count; i++, sent++) {
      const f = flow(beganMs + sent * 2, `s${sent % 9}`, sent % 100, sent % 7)
      flows.push(f)
      producer.add(
        name('telemetry.flows'),
        sent % PARTITIONS,
        Date.now(),
        null,
        codec.encode('telemetry.flows', 'Flow', f),
      )
    }
  }
  const holders = (...workers: Worker[]) =>
    new Map(workers.flatMap((w, i) => w.tasks().map((task) => [task.id, i] as const)))
  const settled = async (...workers: Worker[]) => {
    await until(
      () => holders(...workers).size === 2 * PARTITIONS && workers.every((w) => w.tasks().length > 0),
      {
        what: 'every task has a worker',
      },
    )
    return holders(...workers)
  }
  const caughtUp = async () => {
    await producer.flush()
    const inputs = Array.from({ length: PARTITIONS }, (_, partition) => ({
      topic: name('telemetry.flows'),
      partition,
    }))
    const admin = broker.admin()
    const ends = await admin.offsets(inputs, 'latest')
    await until(
      async () => {
        const committed = await admin.committed(`${prefix}${topology.name}`, inputs)
        return committed.every((c) => c.offset >= (ends.get(partitionKey(c.topic, c.partition)) ?? 0))
      },
      { what: 'all input is committed' },
    )
    await admin.close()
  }

  const [a, b] = [await launch('a'), await launch('b')]
  const two = await settled(a, b)
  send(600)
  await caughtUp()
  const replayed = () => a.counters.replayed + b.counters.replayed
  const before = replayed() // while the second came, tasks moved from the first
  let c = await launch('c')
  send(300)
  const three = await settled(a, b, c)
  send(300)
  await caughtUp()
  // Who stays gave away a third, and read nothing again.
  expect(replayed()).toBe(before)
  const stayed = [...two].filter(([task, worker]) => three.get(task) === worker)
  expect(stayed).toHaveLength(2 * (PARTITIONS - 2))
  const { assignments } = a.counters

  // A restart within the session moves nothing and disturbs nobody.
  const { rebalances } = a.counters
  await c.stop()
  c = await launch('c')
  send(300)
  expect(await settled(a, b, c)).toEqual(three)
  await caughtUp()
  expect(a.counters.rebalances).toBe(rebalances)
  expect(replayed()).toBe(before)

  // It goes for good: the others take over what it held, and keep what they have.
  await c.stop()
  send(300)
  await settled(a, b)
  await caughtUp()
  expect(a.counters.assignments).toBe(assignments + 1)
  expect(a.counters.aborts + b.counters.aborts).toBe(0)
  const headers = markHeaders({ origin: 'end', watermarkMs: END_OF_INPUT_MS, idle: false })
  for (let p = 0; p < PARTITIONS; p++)
    producer.add(name('telemetry.flows'), p, Date.now(), null, null, headers)
  await producer.close()
  await until(() => [...a.tasks(), ...b.tasks()].every((task) => task.watermarkMs >= END_OF_INPUT_MS), {
    what: 'the end of the input',
  })
  const pauseMs = Math.max(a.counters.longestRebalanceMs, b.counters.longestRebalanceMs)
  process.stdout.write(`commits waited ${pauseMs.toFixed(0)} ms at most for a rebalance\n`)
  await a.stop()
  await b.stop()
  const rows: StreamFeature[] = []
  await readTopic(broker, codec, name('features.streams'), 'StreamFeature', (row) => void rows.push(row))
  expect(lines(rows)).toEqual(offline(flows, WINDOW_MS))
  expect(troubles).toEqual([])
  // A heartbeat (200 ms) and the requests of a rebalance; several times that where tests share the machine.
  expect(pauseMs).toBeLessThan(3000)
}, 120_000)
