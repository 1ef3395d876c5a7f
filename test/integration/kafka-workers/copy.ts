// Copies a topic to another in transactions, as a worker of a topology would. Told by its arguments where to hang
// inside an open transaction; says on standard output what it does, and goes on when a line comes in.
import { once } from 'node:events'
import { createBroker } from '#infra/kafka'
import type { Assignment } from '#core/ports'
import { ForestallError } from '#core/ports'

const [bootstrap = '', source = '', target = '', slot = '', hangAt = '0'] = process.argv.slice(2)
const broker = createBroker({
  bootstrapBrokers: [bootstrap],
  clientId: `copy-${slot}`,
  compression: 'gzip',
  batchBytes: 2000,
})
const groupId = `${source}-copy`
const producer = broker.transactionalProducer({
  transactionalId: `${groupId}-${slot}`,
  transactionTimeoutMs: 30_000,
})
let assignment: Assignment | null = null
let transactions = 0

const say = (line: string): boolean => process.stdout.write(`${line}\n`)
const end = (error: unknown): void => {
  say(`ended ${error instanceof ForestallError ? error.code : String(error)}`)
  process.exit(1)
}

await producer.init()
const reader = broker.groupReader(
  { groupId, topics: [source], groupInstanceId: slot },
  {
    onAssigned(a) {
      assignment = a
      say('assigned')
      return new Map()
    },
    async onRevoked() {
      assignment = null
    },
    async onBatch(cursor) {
      if (assignment === null) throw new Error('a batch without an assignment')
      while (cursor.next()) {
        const { buffer, keyStart, keyLength, valueStart, valueLength } = cursor
        const key = buffer.subarray(keyStart, keyStart + keyLength)
        producer.add(
          target,
          cursor.partition,
          cursor.timestampMs,
          key,
          buffer.subarray(valueStart, valueStart + valueLength),
        )
      }
      const { topic, partition, nextOffset } = cursor
      await producer.sendOffsets(groupId, assignment, [
        { topic, partition, offset: nextOffset, metadata: `${transactions}` },
      ])
      if (++transactions === Number(hangAt)) {
        say('open')
        await once(process.stdin, 'data')
      }
      await producer.commit()
    },
    onError: end,
  },
)
await reader.start()
