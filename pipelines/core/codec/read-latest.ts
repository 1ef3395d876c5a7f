import { Buffer } from 'node:buffer'
import type { Broker } from '../ports/index.ts'

/**
 * The newest value of every key of a compacted topic of one partition, in the order in which they were written; keys
 * that were withdrawn are absent. Reads committed records until the position reaches the *uncommitted* end seen at the
 * start, so that what another writer is still completing is waited for.
 */
export async function readLatest(broker: Broker, topic: string): Promise<Map<string, Buffer>> {
  const values = new Map<string, Buffer>()
  const reader = broker.readPartitions({
    partitions: [{ topic, partition: 0, from: 'earliest' }],
    until: 'end',
    onBatch(cursor) {
      while (cursor.next()) {
        const { buffer, keyStart, keyLength, valueStart, valueLength } = cursor
        if (keyLength < 0) continue
        const key = buffer.toString('utf8', keyStart, keyStart + keyLength)
        values.delete(key)
        // Copied: the buffer belongs to the batch.
        if (valueLength >= 0)
          values.set(key, Buffer.from(buffer.subarray(valueStart, valueStart + valueLength)))
      }
    },
  })
  try {
    await reader.done
  } finally {
    await reader.close()
  }
  return values
}
