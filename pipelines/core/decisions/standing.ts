import {
  type Broker,
  type DecodeDecision,
  type Decision,
  ForestallError,
  type RecordCursor,
} from '../ports/index.ts'

/**
 * What stands in a decision topic, by entity: the topic is its own state store. Reads committed records until the
 * position reaches the *uncommitted* end seen at the start, so that a transaction which a predecessor still
 * completes is waited for, not overlooked. Expired preferences are in the map (`standsAt` tells; their epoch
 * counts), withdrawn ones are not. Throws NOT_FOUND without the topic, RECORD_UNDECODABLE for a record that
 * cannot be read: to forget a decision would be to decide it again.
 */
export async function readStanding<Body>(
  broker: Broker,
  topic: string,
  decode: DecodeDecision<Body>,
): Promise<Map<string, Decision<Body>>> {
  const admin = broker.admin()
  let count: number | undefined
  try {
    count = (await admin.partitions([topic])).get(topic)
  } finally {
    await admin.close()
  }
  if (count === undefined) throw new ForestallError('NOT_FOUND', `Topic ${topic} does not exist.`)
  const standing = new Map<string, Decision<Body>>()
  const reader = broker.readPartitions({
    partitions: Array.from({ length: count }, (_, partition) => ({ topic, partition, from: 'earliest' })),
    until: 'end',
    onBatch: async (cursor) => {
      while (cursor.next()) await keepRecord(standing, cursor, decode)
    },
  })
  try {
    await reader.done
  } finally {
    await reader.close()
  }
  return standing
}

async function keepRecord<Body>(
  standing: Map<string, Decision<Body>>,
  cursor: RecordCursor,
  decode: DecodeDecision<Body>,
): Promise<void> {
  if (cursor.keyLength < 0) return
  const { buffer, keyStart, keyLength, valueStart, valueLength, topic, partition, offset } = cursor
  const entity = buffer.toString('utf8', keyStart, keyStart + keyLength)
  if (valueLength < 0) {
    standing.delete(entity)
    return
  }
  try {
    const decision = await decode(buffer.subarray(valueStart, valueStart + valueLength))
    const held = standing.get(entity)
    if (held === undefined || decision.epoch > held.epoch) standing.set(entity, decision)
  } catch (cause) {
    throw new ForestallError(
      'RECORD_UNDECODABLE',
      `Decision in ${topic} partition ${partition} offset ${offset}.`,
      { cause },
    )
  }
}
