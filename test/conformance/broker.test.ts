import { afterEach, describe, inject } from 'vitest'
import { createBroker } from '#infra/kafka'
import type { Broker } from '#core/ports'
import { createMemoryBroker } from '../../pipelines/core/runtime/testing/memory-broker.ts'
import type { Bench } from './broker/bench.ts'
import { adminCases } from './broker/admin.cases.ts'
import { groupCases } from './broker/group.cases.ts'
import { recordCases } from './broker/records.cases.ts'
import { transactionCases } from './broker/transaction.cases.ts'

const open: Broker[] = []

const kafka: Bench = {
  connect({ compression = 'lz4', eager = false } = {}) {
    const broker = createBroker({
      bootstrapBrokers: inject('kafkaBrokers').split(','),
      clientId: 'conformance',
      compression,
      ...(eager ? { batchBytes: 1 } : {}),
    })
    open.push(broker)
    return broker
  },
}

function memory(): Bench {
  const broker = createMemoryBroker()
  return {
    connect() {
      const client = broker.connect()
      open.push(client)
      return client
    },
  }
}

afterEach(async () => {
  for (const broker of open.splice(0).reverse()) await broker.close()
})

describe.each([
  ['in memory', memory()],
  ['Kafka', kafka],
])('broker %s', (_name, bench) => {
  describe('records', () => {
    recordCases(() => bench)
  })
  describe('transactions', () => {
    transactionCases(() => bench)
  })
  describe('groups', () => {
    groupCases(() => bench)
  })
  describe('administration', () => {
    adminCases(() => bench)
  })
})
