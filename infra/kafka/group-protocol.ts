import { Buffer } from 'node:buffer'
import type { TopicPartition } from '#core/ports'
import { byTopic } from './offsets.ts'

/** What a member tells the leader of its group when it joins: Kafka's consumer protocol, version 2. */
export interface Subscription {
  readonly topics: readonly string[]
  /** What the member holds and goes on working on while the group rebalances; empty for members that let go first. */
  readonly owned: readonly TopicPartition[]
  /** The generation in which it was given `owned`; -1 if it holds nothing. */
  readonly generationId: number
}

const SUBSCRIPTION_VERSION = 2
const ASSIGNMENT_VERSION = 0

/** Writes the types of Kafka's old, inflexible encoding. */
function createEncoder() {
  const parts: Buffer[] = []
  const encoder = {
    int16(value: number) {
      const part = Buffer.alloc(2)
      part.writeInt16BE(value)
      parts.push(part)
    },
    int32(value: number) {
      const part = Buffer.alloc(4)
      part.writeInt32BE(value)
      parts.push(part)
    },
    text(value: string) {
      const bytes = Buffer.from(value)
      encoder.int16(bytes.length)
      parts.push(bytes)
    },
    list<T>(items: readonly T[], write: (item: T) => void) {
      encoder.int32(items.length)
      for (const item of items) write(item)
    },
    partitions(partitions: readonly TopicPartition[]) {
      encoder.list(
        byTopic(partitions, (p) => p.partition),
        (topic) => {
          encoder.text(topic.name)
          encoder.list(topic.partitions, (p) => encoder.int32(p))
        },
      )
    },
    bytes: () => Buffer.concat(parts),
  }
  return encoder
}

function createDecoder(buffer: Buffer) {
  let at = 0
  const decoder = {
    int16() {
      at += 2
      return buffer.readInt16BE(at - 2)
    },
    int32() {
      at += 4
      return buffer.readInt32BE(at - 4)
    },
    text() {
      const length = decoder.int16()
      at += length
      return buffer.toString('utf8', at - length, at)
    },
    /** A null list (length -1) is an empty one. */
    list<T>(read: () => T): T[] {
      return Array.from({ length: Math.max(0, decoder.int32()) }, read)
    },
    partitions(): TopicPartition[] {
      return decoder
        .list(() => ({ topic: decoder.text(), partitions: decoder.list(() => decoder.int32()) }))
        .flatMap(({ topic, partitions }) => partitions.map((partition) => ({ topic, partition })))
    },
    skipBytes() {
      const length = decoder.int32() // first: it moves on, too
      at += Math.max(0, length)
    },
  }
  return decoder
}

/** The bytes of a subscription. */
export function encodeSubscription({ topics, owned, generationId }: Subscription): Buffer {
  const out = createEncoder()
  out.int16(SUBSCRIPTION_VERSION)
  out.list(topics, (topic) => out.text(topic))
  out.int32(-1) // no user data
  out.partitions(owned)
  out.int32(generationId)
  return out.bytes()
}

/** Reads a subscription of any version; older ones own nothing. */
export function decodeSubscription(bytes: Buffer): Subscription {
  const from = createDecoder(bytes)
  const version = from.int16()
  const topics = from.list(() => from.text())
  from.skipBytes()
  const owned = version >= 1 ? from.partitions() : []
  return { topics, owned, generationId: version >= 2 ? from.int32() : -1 }
}

/** The bytes of an assignment, which Kafka's tools show, too. */
export function encodeAssignment(partitions: readonly TopicPartition[]): Buffer {
  const out = createEncoder()
  out.int16(ASSIGNMENT_VERSION)
  out.partitions(partitions)
  out.int32(-1)
  return out.bytes()
}

/** Reads an assignment; no bytes: nothing was assigned. */
export function decodeAssignment(bytes: Buffer): TopicPartition[] {
  if (bytes.length === 0) return []
  const from = createDecoder(bytes)
  from.int16()
  return from.partitions()
}
