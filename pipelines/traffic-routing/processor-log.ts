import { type Broker, ForestallError } from '#core/ports'
import { learnToken, type ProcessorState, type Progress, type Token } from './processor-state.ts'

/**
 * The state of the processors of all regions: one compacted topic with one partition, so that all see the changes of
 * a token in one order. Keys: `token/<stream>` (written by the holder) and `region/<region>` (written by the region).
 */
export type LogEntry =
  | { kind: 'token'; token: Token }
  | { kind: 'region'; region: string; round: number; progress: Map<number, Progress> }

const VERSION = 1

/** Key and value of an entry, JSON with a version. */
export function encodeEntry(entry: LogEntry): [key: Buffer, value: Buffer] {
  if (entry.kind === 'token') {
    const value = { version: VERSION, token: entry.token }
    return [Buffer.from(`token/${entry.token.stream}`), Buffer.from(JSON.stringify(value))]
  }
  const { region, round, progress } = entry
  const partitions = [...progress].map(([partition, p]) => [partition, p.position, p.high])
  const value = { version: VERSION, region, round, partitions }
  return [Buffer.from(`region/${region}`), Buffer.from(JSON.stringify(value))]
}

/** Throws RECORD_UNDECODABLE: a processor that cannot read the state must not process. */
export function decodeEntry(value: Uint8Array): LogEntry {
  let content: {
    version?: number
    token?: Token
    region?: string
    round?: number
    partitions?: [number, number, number][]
  }
  try {
    content = JSON.parse(Buffer.from(value).toString()) as typeof content
  } catch (cause) {
    throw new ForestallError('RECORD_UNDECODABLE', 'State of the processors: not JSON.', { cause })
  }
  const { version, token, region, round = 0, partitions = [] } = content
  if (version !== VERSION) {
    throw new ForestallError(
      'RECORD_UNDECODABLE',
      `State of the processors: version ${version}, not ${VERSION}.`,
    )
  }
  if (token !== undefined) return { kind: 'token', token }
  const progress = new Map(partitions.map(([p, position, high]) => [p, { position, high }]))
  return { kind: 'region', region: region ?? '', round, progress }
}

/** Takes an entry in; those of other regions' positions change nothing. */
export function learnEntry(state: ProcessorState, entry: LogEntry): void {
  if (entry.kind === 'token') learnToken(state, entry.token)
  else if (entry.region === state.region) {
    state.round = entry.round
    for (const [partition, progress] of entry.progress) state.progress.set(partition, progress)
  }
}

/**
 * Reads the whole state up to the uncommitted end, so that a transaction which a predecessor still completes is waited
 * for. Returns the offset to go on from.
 */
export async function recoverState(broker: Broker, topic: string, state: ProcessorState): Promise<number> {
  const partition = { topic, partition: 0 }
  const reader = broker.readPartitions({
    partitions: [{ ...partition, from: 'earliest' }],
    until: 'end',
    onBatch(cursor) {
      while (cursor.next()) {
        const { buffer, valueStart, valueLength } = cursor
        if (valueLength < 0) continue
        learnEntry(state, decodeEntry(buffer.subarray(valueStart, valueStart + valueLength)))
      }
    },
  })
  try {
    await reader.done
    return reader.position(partition)
  } finally {
    await reader.close()
  }
}
