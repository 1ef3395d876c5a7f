import type {
  Assignment,
  Broker,
  GroupReaderOptions,
  PartitionReaderOptions,
  RecordCursor,
  TopicPartition,
} from '#core/ports'
import { uniqueName } from '../../support/unique.ts'
import { until } from '../../support/until.ts'

/** A broker under test. */
export interface Bench {
  /** Another process that uses the broker; closed after the test. `eager` sends each record at once, in a batch of its own. */
  connect(options?: { compression?: 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd'; eager?: boolean }): Broker
}

/** A record as a test wants to see it: null and '' stay different. */
export interface Seen {
  readonly partition: number
  readonly offset: number
  readonly timestampMs: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly (readonly [string, string])[]
}

export const bytes = (text: string): Buffer => Buffer.from(text)

export const partitionsOf = (topic: string, count = 1): TopicPartition[] =>
  Array.from({ length: count }, (_, partition) => ({ topic, partition }))

/** Creates a topic of its own for a test. */
export async function createTopic(
  broker: Broker,
  partitions = 1,
  configs: Record<string, string> = {},
): Promise<string> {
  const name = uniqueName('conformance')
  const admin = broker.admin()
  await admin.ensureTopics([{ name, partitions, configs }])
  await admin.close()
  return name
}

/** Writes values outside transactions, keys null. */
export async function write(
  broker: Broker,
  topic: string,
  partition: number,
  values: readonly string[],
): Promise<void> {
  const producer = broker.producer()
  for (const value of values) producer.add(topic, partition, 1000, null, bytes(value))
  await producer.close()
}

function decodeHeaders(cursor: RecordCursor): [string, string][] {
  let at = cursor.headersStart
  const varint = (): number => {
    let value = 0
    let scale = 1
    for (;;) {
      const byte = cursor.buffer.readUInt8(at++)
      value += (byte & 127) * scale
      scale *= 128
      if (byte < 128) return value % 2 === 0 ? value / 2 : -(value + 1) / 2
    }
  }
  const text = (length: number): string => {
    at += length
    return cursor.buffer.toString('utf8', at - length, at)
  }
  const headers: [string, string][] = []
  for (let n = varint(); n > 0; n--) {
    const name = text(varint())
    headers.push([name, text(varint())])
  }
  if (at !== cursor.recordEnd) throw new Error(`headers end at ${at}, the record at ${cursor.recordEnd}`)
  return headers
}

/** Copies the records of a batch. */
export function copyBatch(cursor: RecordCursor): Seen[] {
  const range = (start: number, length: number) =>
    length < 0 ? null : cursor.buffer.toString('utf8', start, start + length)
  const seen: Seen[] = []
  while (cursor.next()) {
    seen.push({
      partition: cursor.partition,
      offset: cursor.offset,
      timestampMs: cursor.timestampMs,
      key: range(cursor.keyStart, cursor.keyLength),
      value: range(cursor.valueStart, cursor.valueLength),
      headers: decodeHeaders(cursor),
    })
  }
  return seen
}

/** Reads a topic from its beginning (or from `from`) until all that `until` asks for has come. */
export async function readAll(
  broker: Broker,
  topic: string,
  options: Partial<Pick<PartitionReaderOptions, 'readCommitted' | 'until'>> & {
    from?: number | 'earliest' | 'latest'
    partitions?: number
  } = {},
): Promise<Seen[]> {
  const { from = 'earliest', partitions = 1, readCommitted = true, until: goal = 'stable' } = options
  const seen: Seen[] = []
  const reader = broker.readPartitions({
    partitions: partitionsOf(topic, partitions).map((p) => ({ ...p, from })),
    readCommitted,
    until: goal,
    onBatch: (cursor) => void seen.push(...copyBatch(cursor)),
  })
  await reader.done
  await reader.close()
  return seen
}

export const values = (seen: readonly Seen[]): (string | null)[] => seen.map((s) => s.value)

/** A group member that keeps what it sees. */
export interface TestMember {
  readonly assignments: Assignment[]
  readonly seen: Seen[]
  readonly errors: Error[]
  readonly events: string[]
  /** The last assignment, once there have been `count` of them. */
  assigned(count?: number): Promise<Assignment>
  saw(count: number): Promise<Seen[]>
  close(): Promise<void>
  readonly pause: (partitions: TopicPartition[]) => void
  readonly resume: (partitions: TopicPartition[]) => void
}

/** Joins a group; resolves when the member has joined. */
export async function join(
  broker: Broker,
  options: GroupReaderOptions,
  overrides: {
    from?: Map<string, number>
    onBatch?: (cursor: RecordCursor, member: TestMember) => Promise<void> | void
  } = {},
): Promise<TestMember> {
  const assignments: Assignment[] = []
  const seen: Seen[] = []
  const errors: Error[] = []
  const events: string[] = []
  const reader = broker.groupReader(options, {
    onAssigned(assignment) {
      assignments.push(assignment)
      events.push(`assigned ${assignment.partitions.length}`)
      return overrides.from ?? new Map()
    },
    async onRevoked() {
      events.push('revoked')
    },
    onBatch(cursor) {
      if (overrides.onBatch !== undefined) return overrides.onBatch(cursor, member)
      seen.push(...copyBatch(cursor))
    },
    onError: (error) => void errors.push(error),
  })
  const member: TestMember = {
    assignments,
    seen,
    errors,
    events,
    assigned: (count = 1) =>
      until(() => assignments.length >= count && assignments.at(-1), { what: `assignment ${count}` }).then(
        (a) => a as Assignment,
      ),
    saw: (count) =>
      until(() => seen.length >= count && seen, { what: `${count} records` }).then((s) => s as Seen[]),
    close: () => reader.close(),
    pause: (p) => reader.pause(p),
    resume: (p) => reader.resume(p),
  }
  await reader.start()
  return member
}
