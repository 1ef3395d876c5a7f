import {
  type Broker,
  createPause,
  type DecisionSource,
  type DecisionSourceHandler,
  type DecodeDecision,
  ForestallError,
  type PartitionReader,
  partitionKey,
  type RecordCursor,
  skippedRecord,
  systemTimers,
  type Timers,
  type TopicPartition,
} from '../ports/index.ts'

/** The ends behind `lag` are asked for again after this time, when somebody wants to know. */
const LAG_FRESH_MS = 1000

/** Settings of a broker source. */
export interface BrokerSourceOptions {
  /** Delay before another try when Kafka is away. Default 1,000 ms. */
  retryMs?: number
  timers?: Timers
}

/**
 * A decision source over the broker port: reads every partition without a group. First up to the last stable
 * offset seen at the start (a transaction left open does not hold the follower up), then live from there.
 */
export function createBrokerSource<Body>(
  broker: Broker,
  topic: string,
  decode: DecodeDecision<Body>,
  options: BrokerSourceOptions = {},
): DecisionSource<Body> {
  const { retryMs = 1000, timers = systemTimers } = options
  /** Next offset to read, by partition. */
  const positions = new Map<number, number>()
  let ends: ReadonlyMap<string, number> | null = null
  let reader: PartitionReader | null = null
  const state = { stopped: false, isCaughtUp: false, endsAreFresh: false }
  const pause = createPause(timers)
  let running: Promise<void> | null = null

  async function findPartitions(): Promise<TopicPartition[]> {
    const admin = broker.admin()
    try {
      const count = (await admin.partitions([topic])).get(topic)
      if (count === undefined) throw new ForestallError('NOT_FOUND', `Topic ${topic} does not exist.`)
      const partitions = Array.from({ length: count }, (_, partition) => ({ topic, partition }))
      ends = await admin.offsets(partitions, 'stable')
      state.endsAreFresh = true
      timers.after(LAG_FRESH_MS, () => {
        state.endsAreFresh = false
      })
      return partitions
    } finally {
      await admin.close()
    }
  }

  async function read(
    partitions: TopicPartition[],
    until: 'stable' | 'forever',
    handler: DecisionSourceHandler<Body>,
  ): Promise<void> {
    const current = broker.readPartitions({
      partitions: partitions.map((p) => ({ ...p, from: positions.get(p.partition) ?? 'earliest' })),
      until,
      onBatch: async (cursor) => {
        while (!state.stopped && cursor.next()) {
          await handOut(cursor, handler)
          positions.set(cursor.partition, cursor.offset + 1)
        }
        if (!state.stopped) positions.set(cursor.partition, cursor.nextOffset)
      },
    })
    reader = current
    try {
      await current.done
      if (until === 'stable') for (const p of partitions) positions.set(p.partition, current.position(p))
    } finally {
      reader = null
      await current.close()
    }
  }

  async function handOut(cursor: RecordCursor, handler: DecisionSourceHandler<Body>): Promise<void> {
    const { buffer, keyStart, keyLength, valueStart, valueLength, partition, offset, timestampMs } = cursor
    if (keyLength < 0) return
    const entity = buffer.toString('utf8', keyStart, keyStart + keyLength)
    if (valueLength < 0) return handler.onDecision({ entity, decision: null, partition, offset, timestampMs })
    let decision
    try {
      decision = await decode(buffer.subarray(valueStart, valueStart + valueLength))
    } catch (cause) {
      return handler.onError(skippedRecord(cause, `${topic} partition ${partition} offset ${offset}`))
    }
    await handler.onDecision({ entity, decision, partition, offset, timestampMs })
  }

  async function run(handler: DecisionSourceHandler<Body>): Promise<void> {
    while (!state.stopped) {
      try {
        const partitions = await findPartitions()
        if (!state.isCaughtUp) {
          await read(partitions, 'stable', handler)
          if (state.stopped) return
          state.isCaughtUp = true
          await handler.onCaughtUp(new Map(positions))
        }
        await read(partitions, 'forever', handler)
      } catch (e) {
        if (state.stopped) return
        handler.onError(e instanceof Error ? e : new Error(String(e)))
        await pause.wait(retryMs)
      }
    }
  }

  return {
    topic,
    start(handler) {
      if (!state.stopped) running ??= run(handler)
    },
    async stop() {
      state.stopped = true
      pause.end()
      await reader?.close()
      await running
    },
    lag() {
      if (state.isCaughtUp && !state.stopped && !state.endsAreFresh) {
        state.endsAreFresh = true
        findPartitions().catch(() => undefined)
      }
      if (ends === null) return -1
      let behind = 0
      for (const [partition, next] of positions) {
        behind += Math.max(0, (ends.get(partitionKey(topic, partition)) ?? 0) - next)
      }
      return behind
    },
  }
}
