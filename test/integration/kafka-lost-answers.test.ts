import { NetworkError } from '@platformatic/kafka'
import type { Connection } from '@platformatic/kafka'
import { afterAll, expect, inject, test } from 'vitest'
import { createBroker } from '#infra/kafka'
import { createCluster } from '../../infra/kafka/cluster.ts'
import type { Cluster } from '../../infra/kafka/cluster.ts'
import { resolveOptions } from '../../infra/kafka/options.ts'
import { createProducer } from '../../infra/kafka/producer.ts'
import { createTransactionalProducer } from '../../infra/kafka/transactional-producer.ts'
import { createTopic, join, partitionsOf, readAll, values } from '../conformance/broker/bench.ts'
import { uniqueName } from '../support/unique.ts'

const options = {
  bootstrapBrokers: inject('kafkaBrokers').split(','),
  clientId: 'lost-answers',
  batchBytes: 1,
}
const broker = createBroker(options)
const clusters: Cluster[] = []
afterAll(async () => {
  for (const cluster of clusters) await cluster.close()
  await broker.close()
})

/** A cluster whose requests are all carried out, and of whose answers every second one is lost. */
function lossyCluster(): { cluster: Cluster; lost: Map<number, number> } {
  const cluster = createCluster(resolveOptions(options))
  clusters.push(cluster)
  const lost = new Map<number, number>()
  let count = 0
  const send =
    (connection: Connection): Connection['send'] =>
    (key, version, payload, parser, requestTags, responseTags, callback) => {
      const lose = ++count % 2 === 0
      connection.send(key, version, payload, parser, requestTags, responseTags, (error, answer) => {
        if (!lose || error) return callback(error, answer)
        lost.set(key, (lost.get(key) ?? 0) + 1)
        callback(new NetworkError('the answer is lost'))
      })
    }
  const lossy = (connection: Connection): Connection =>
    new Proxy(connection, {
      get: (target, name) => (name === 'send' ? send(target) : Reflect.get(target, name, target)),
    })
  const openLane: Cluster['openLane'] = (name) => {
    const lane = cluster.openLane(name)
    return {
      ...lane,
      node: async (id) => lossy(await lane.node(id)),
      coordinator: async (type, key) => lossy(await lane.coordinator(type, key)),
    }
  }
  return { cluster: { ...cluster, openLane }, lost }
}

const PRODUCE = 0
const END_TXN = 26

test('the idempotent producer sends again what may have been lost: once each, in order', async () => {
  const topic = await createTopic(broker)
  const { cluster, lost } = lossyCluster()
  const producer = createProducer(cluster)
  const wanted = Array.from({ length: 20 }, (_, i) => String(i))
  for (const value of wanted) producer.add(topic, 0, 1, null, Buffer.from(value))
  await producer.close()
  expect(lost.get(PRODUCE)).toBeGreaterThan(3)
  expect(values(await readAll(broker, topic))).toEqual(wanted)
})

test('transactions commit once when answers of any request are lost', async () => {
  const topic = await createTopic(broker)
  const groupId = uniqueName('lost')
  const member = await join(broker, { groupId, topics: [topic] })
  const assignment = await member.assigned()
  const { cluster, lost } = lossyCluster()
  const producer = createTransactionalProducer(cluster, uniqueName('lost'))
  await producer.init()
  const wanted: string[] = []
  for (let round = 0; round < 12; round++) {
    for (const part of ['a', 'b', 'c']) producer.add(topic, 0, 1, null, Buffer.from(`${round}${part}`))
    await producer.sendOffsets(groupId, assignment, [{ topic, partition: 0, offset: round, metadata: '' }])
    if (round % 4 === 3) await producer.abort()
    else {
      await producer.commit()
      wanted.push(`${round}a`, `${round}b`, `${round}c`)
    }
  }
  expect(lost.get(PRODUCE)).toBeGreaterThan(3)
  expect(lost.get(END_TXN)).toBeGreaterThan(1)
  expect(values(await readAll(broker, topic, { until: 'end' }))).toEqual(wanted)
  expect((await broker.admin().committed(groupId, partitionsOf(topic)))[0]?.offset).toBe(10)
  await producer.close()
})
