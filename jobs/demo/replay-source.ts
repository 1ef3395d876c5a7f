import type { Flow } from '#schemas'
import { murmur3Text } from '#core/math'
import type { RecordCodec } from '#core/codec'
import {
  type Broker,
  type Clock,
  createPause,
  ForestallError,
  mulberry32,
  systemTimers,
  type Timers,
} from '#core/ports'
import { readTrafficFolder } from '#infra/adapters'
import { createTelemetryWriter, type TelemetryWriter } from './telemetry-writer.ts'
import { createTruth, type Truth } from './truth.ts'

/** Settings of a replay. */
export interface ReplayOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  /** Wall clock: for the pace, not for the records. */
  readonly clock: Clock
  /** Folder of the Abilene form. */
  readonly folder: string
  /** Times as fast as it happened, or as fast as Kafka takes it. */
  readonly speed: number | 'max'
  readonly topicPrefix: string
  /** Origin of the records. */
  readonly replayId: string
  /** Length of the windows that the account is kept in. Default: the interval of the data, 300,000. */
  readonly windowMs?: number
  /** Event times to replay. */
  readonly fromMs?: number
  readonly toMs?: number
  /** Where to keep the account; a new one by default. */
  readonly truth?: Truth
  readonly timers?: Timers
  /** Ends the replay early; end marks are written all the same. */
  readonly signal?: AbortSignal
  /** About every 10,000 rows, and at the end. */
  readonly onProgress?: (progress: { rows: number; eventTimeMs: number }) => void
}

/** What a replay has written. */
export interface ReplayTotals {
  readonly rows: number
  readonly byPartition: readonly number[]
  /** Event times of the first and the last row. */
  readonly fromMs: number
  readonly toMs: number
  readonly truth: Truth
  readonly elapsedMs: number
}

const INTERVAL_MS = 300_000
const PROGRESS_ROWS = 10_000
/** Waits for Kafka at the latest after this many bytes: bounds what is in memory and not yet counted. */
const MOST_PENDING_BYTES = 8 << 20

/**
 * Writes a dataset folder to `telemetry.flows`, in its order, with the event time as Kafka timestamp, each source
 * router in one partition, so that every interval is spread over all of them; then end marks. The topics must exist.
 * Throws CONFIG_INVALID for a speed that is none, and what `readTrafficFolder` and the producer throw.
 */
export async function replayFolder(options: ReplayOptions): Promise<ReplayTotals> {
  const { clock, folder, speed, signal, windowMs = INTERVAL_MS } = options
  if (speed !== 'max' && !(speed > 0 && speed < Infinity))
    throw new ForestallError('CONFIG_INVALID', `speed = ${speed}`, {
      cure: 'Give a number above 0, or max.',
    })
  const truth = options.truth ?? createTruth(windowMs)
  const { broker, codec, topicPrefix } = options
  const writer = await createTelemetryWriter({ broker, codec, topicPrefix, truth, random: mulberry32(1) })
  const pace = createPace(options, writer)
  const partitionOf = createPartitioner(writer.flowPartitions)
  const byPartition = Array.from({ length: writer.flowPartitions }, () => 0)
  const startMs = clock.nowMs()
  const totals = { rows: 0, fromMs: 0, toMs: 0 }
  try {
    for await (const flow of readTrafficFolder(folder, readOptions(options))) {
      await pace.wait(flow.event_time_ms)
      if (signal?.aborted === true) break
      const partition = partitionOf(flow)
      writer.flow(flow, partition, flow.event_time_ms)
      byPartition[partition] = (byPartition[partition] ?? 0) + 1
      if (totals.rows === 0) totals.fromMs = flow.event_time_ms
      totals.toMs = flow.event_time_ms
      totals.rows++
      if (totals.rows % PROGRESS_ROWS === 0)
        options.onProgress?.({ rows: totals.rows, eventTimeMs: totals.toMs })
    }
    await writer.flush()
    await writer.endMarks(totals.toMs)
    options.onProgress?.({ rows: totals.rows, eventTimeMs: totals.toMs })
  } finally {
    pace.end()
    await writer.close()
  }
  return { ...totals, byPartition, truth, elapsedMs: clock.nowMs() - startMs }
}

function readOptions({ replayId, fromMs, toMs }: ReplayOptions) {
  return {
    origin: replayId,
    ...(fromMs === undefined ? {} : { fromMs }),
    ...(toMs === undefined ? {} : { toMs }),
  }
}

/** By the source router: its rows stay in order, those of one interval lie in every partition. */
function createPartitioner(partitions: number): (flow: Flow) => number {
  const known = new Map<string, number>()
  return ({ src_region }) => {
    let partition = known.get(src_region)
    if (partition === undefined) known.set(src_region, (partition = murmur3Text(src_region) % partitions))
    return partition
  }
}

/** Holds a row back until it is due, and while Kafka has not taken what went before. */
function createPace(
  { clock, speed, signal, timers = systemTimers }: ReplayOptions,
  writer: TelemetryWriter,
): { wait(eventTimeMs: number): Promise<void>; end(): void } {
  const pause = createPause(timers)
  const cut = (): void => pause.end()
  signal?.addEventListener('abort', cut)
  const startMs = clock.nowMs()
  let firstMs = Number.NaN
  return {
    async wait(eventTimeMs) {
      if (writer.pendingBytes > MOST_PENDING_BYTES) await writer.flush()
      if (speed === 'max') return
      if (Number.isNaN(firstMs)) firstMs = eventTimeMs
      const leftMs = startMs + (eventTimeMs - firstMs) / speed - clock.nowMs()
      if (leftMs <= 0) return
      // What is due is acknowledged before the pause, so that the account keeps up with a slow replay.
      await writer.flush()
      await pause.wait(leftMs)
    },
    end: () => signal?.removeEventListener('abort', cut),
  }
}
