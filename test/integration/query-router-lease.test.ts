import { expect, inject, onTestFinished, test } from 'vitest'
import { createBroker } from '#infra/kafka'
import { createLease, type Lease } from '../../jobs/query-router-lease.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()

/** Longer than any wait of these tests: nobody takes over because a session is over. */
const SESSION_MS = 120_000

/** A router's lease, with a connection of its own. */
async function ask(topic: string, slot?: string) {
  const broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'lease' })
  const admin = broker.admin()
  const exists = (await admin.listTopics()).includes(topic)
  if (!exists) await admin.ensureTopics([{ name: topic, partitions: 1 }])
  await admin.close()
  const seen: string[] = []
  const lease: Lease = createLease({
    broker,
    groupId: `${topic}.router`,
    topic,
    sessionMs: SESSION_MS,
    ...(slot === undefined ? {} : { slot }),
    onTaken: async () => void seen.push('taken'),
    onLost: async () => void seen.push('lost'),
    onWarning: (error) => seen.push(error.message),
  })
  let isOpen = true
  async function close(): Promise<void> {
    if (!isOpen) return
    isOpen = false
    await lease.close()
    await broker.close()
  }
  onTestFinished(close)
  lease.start()
  return { lease, seen, close }
}

/** Another router of the service, as far as the group is concerned; with a slot it says nothing when it closes, as if killed. */
async function member(topic: string, slot?: string) {
  const broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'lease' })
  let partitions = 0
  const reader = broker.groupReader(
    {
      groupId: `${topic}.router`,
      topics: [topic],
      assignment: 'single',
      cooperative: true,
      sessionTimeoutMs: SESSION_MS,
      ...(slot === undefined ? {} : { groupInstanceId: slot }),
    },
    {
      onAssigned(given) {
        partitions = given.partitions.length
        return new Map()
      },
      onRevoked: () => Promise.resolve(),
      onRebalance: () => Promise.resolve(),
      onKept: () => Promise.resolve(),
      onBatch: () => undefined,
      onError: () => undefined,
    },
  )
  let isOpen = true
  async function close(): Promise<void> {
    if (!isOpen) return
    isOpen = false
    await reader.close()
    await broker.close()
  }
  onTestFinished(close)
  await reader.start()
  await until(() => reader.silenceMs() < SESSION_MS, { what: 'it is a member' })
  return { holds: () => partitions > 0, close }
}

test('a router that comes back to its place takes over at once from the one that was killed, and hands over when it stops', async () => {
  const topic = uniqueName('lease')
  const admin = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'lease' })
  onTestFinished(() => admin.close())
  await admin.admin().ensureTopics([{ name: topic, partitions: 1 }])
  const killed = await member(topic, 'place')
  await until(() => killed.holds(), { what: 'the first one holds it' })
  const other = await member(topic)
  await killed.close()
  const back = await ask(topic, 'place')
  await until(() => back.lease.isHeld(), { what: 'the same place holds it again' })
  expect(other.holds()).toBe(false)
  await back.close()
  await until(() => other.holds(), { what: 'the other one takes over after a stop' })
}, 90_000)

test('of two that live under one name the older one lets go, and they do not take it from each other in turn', async () => {
  const topic = uniqueName('lease')
  const older = await ask(topic, 'place')
  await until(() => older.lease.isHeld())
  const newer = await ask(topic, 'place')
  await until(() => newer.lease.isHeld() && older.seen.includes('lost'), { what: 'the newer one holds it' })
  expect(older.lease.isHeld()).toBe(false)
  expect(older.seen.join()).toContain('another process has joined')
  await newer.close()
  await until(() => older.lease.isHeld(), { what: 'the older one is a member again, under no name' })
  expect(newer.seen.filter((word) => word === 'taken')).toHaveLength(1)
}, 90_000)
