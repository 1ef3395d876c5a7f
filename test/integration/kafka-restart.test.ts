import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createBroker } from '#infra/kafka'
import { startKafka } from '#infra/local'
import type { KafkaProcess } from '#infra/local'
import type { Broker } from '#core/ports'
import { createTopic, join, readAll, values } from '../conformance/broker/bench.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

// A broker of its own: the others' tests do not like it to be killed.
const dataDir = mkdtempSync(joinPath(tmpdir(), 'kafka-restart-'))
const partsDir = joinPath(process.cwd(), '.forestall', 'parts')
let kafka: KafkaProcess
let broker: Broker

beforeAll(async () => {
  kafka = await startKafka({ dataDir, partsDir })
  broker = createBroker({ bootstrapBrokers: [kafka.broker], clientId: 'restart', batchBytes: 1 })
})
afterAll(async () => {
  await broker.close()
  await kafka.stop()
  rmSync(dataDir, { recursive: true, force: true })
})

test('readers and producers go on when the broker has been killed and started again', async () => {
  const topic = await createTopic(broker, 2)
  const producer = broker.producer()
  const transactional = broker.transactionalProducer({ transactionalId: uniqueName('restart') })
  await transactional.init()
  const member = await join(broker, {
    groupId: uniqueName('restart'),
    topics: [topic],
    groupInstanceId: 'slot-0',
  })
  const followed: string[] = []
  const errors: Error[] = []
  const follower = broker.readPartitions({
    partitions: [{ topic, partition: 0, from: 'earliest' }],
    onBatch: (cursor) => {
      while (cursor.next())
        followed.push(
          cursor.buffer.toString('utf8', cursor.valueStart, cursor.valueStart + cursor.valueLength),
        )
    },
    onError: (error) => void errors.push(error),
  })
  producer.add(topic, 0, 1, null, Buffer.from('before'))
  await producer.flush()
  transactional.add(topic, 1, 1, null, Buffer.from('in a transaction, before'))
  await until(() => transactional.pendingBytes === 0)
  await member.saw(1)

  process.kill(kafka.pid, 'SIGKILL')
  await kafka.exited
  producer.add(topic, 0, 1, null, Buffer.from('while it is down'))
  transactional.add(topic, 1, 1, null, Buffer.from('in a transaction, while it is down'))
  const sent = Promise.all([producer.flush(), transactional.commit()])
  kafka = await startKafka({ dataDir, partsDir, port: kafka.port })
  await sent

  const wanted = ['before', 'while it is down']
  await until(() => followed.length === 2)
  expect(followed).toEqual(wanted)
  expect(values(await readAll(broker, topic, { partitions: 1, until: 'end' }))).toEqual(wanted)
  await until(() => new Set(values(member.seen)).size === 4)
  expect(values(member.seen.filter((s) => s.partition === 1))).toEqual([
    'in a transaction, before',
    'in a transaction, while it is down',
  ])
  expect([...member.errors, ...errors]).toEqual([])
  await follower.close()
  await producer.close()
})
