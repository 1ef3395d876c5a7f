import { Buffer } from 'node:buffer'
import { createBroker } from '#infra/kafka'

/** Creates the topic (one partition) if it is missing and writes one record, acknowledged. */
export async function writeRecord(brokers: readonly string[], topic: string, value: string): Promise<void> {
  const broker = createBroker({ bootstrapBrokers: brokers, clientId: 'test' })
  try {
    await broker.admin().ensureTopics([{ name: topic, partitions: 1 }])
    const producer = broker.producer()
    producer.add(topic, 0, Date.now(), null, Buffer.from(value))
    await producer.flush()
  } finally {
    await broker.close()
  }
}

/** Values of all records of a topic's first partition. */
export async function readRecords(brokers: readonly string[], topic: string): Promise<string[]> {
  const broker = createBroker({ bootstrapBrokers: brokers, clientId: 'test' })
  const values: string[] = []
  try {
    const reader = broker.readPartitions({
      partitions: [{ topic, partition: 0, from: 'earliest' }],
      until: 'end',
      onBatch(cursor) {
        while (cursor.next()) {
          const { buffer, valueStart, valueLength } = cursor
          values.push(buffer.toString('utf8', valueStart, valueStart + valueLength))
        }
      },
    })
    await reader.done
    return values
  } finally {
    await broker.close()
  }
}
