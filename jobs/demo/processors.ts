import type { RouteBody } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { createBrokerSource } from '#core/dataplane'
import { type Broker, type Clock, partitionKey, type RecordCursor, type Timers } from '#core/ports'
import {
  createFlowStreams,
  createProcessor,
  type Emit,
  type Processor,
  type ProcessorHealth,
} from '../../pipelines/traffic-routing/dataplane.ts'
import { decisionDecoder } from './tracked-follower.ts'

/** Settings of the processors of a demo. */
export interface ProcessorsOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly clock: Clock
  /** Every region, each gets a processor. */
  readonly regions: readonly string[]
  /** Processes every stream until a decision says otherwise. One of `regions`. */
  readonly defaultRegion: string
  readonly topicPrefix: string
  /** Decisions of other replays are refused. */
  readonly replayId: string
  readonly timers?: Timers
  /** Longest time from a record to its commit. Default 250 ms: four regions commit side by side. */
  readonly commitIntervalMs?: number
  readonly onWarning?: (error: Error) => void
}

/** One region's processor. */
export interface ProcessorStatus {
  readonly region: string
  readonly health: ProcessorHealth
}

/** The processors of all regions. */
export interface RunningProcessors {
  status(): ProcessorStatus[]
  /** True once everything that stood in the input at the call is processed and no stream is between two regions; false after `limitMs` (default 15 s). */
  drained(limitMs?: number): Promise<boolean>
  /** Commits what is done and ends. */
  stop(): Promise<void>
}

/** What the processors read, without prefix. */
export const INPUT = 'telemetry.flows'
/** What they write, without prefix. */
export const OUTPUT = 'processed.traffic'
/** Header of an output record: the offset of the record it was made of, in the partition of the same number. */
export const OFFSET_HEADER = 'forestall.offset'

const STATE = 'state.traffic.processors'
const DECISIONS = 'decisions.traffic.routes'
const ACKS = 'acks.decisions'
const COMMIT_MS = 250
const LOOK_MS = 50
const DRAIN_MS = 15_000

/** Forwards a flow unchanged to the partition of the same number, with the region and the offset it had. */
function forward(topic: string, region: string): (cursor: RecordCursor, stream: string, emit: Emit) => void {
  const regionHeader = ['forestall.region', Buffer.from(region)] as const
  return (cursor, _stream, emit) => {
    const { buffer, keyStart, keyLength, valueStart, valueLength } = cursor
    const key = keyLength < 0 ? null : buffer.subarray(keyStart, keyStart + keyLength)
    const value = buffer.subarray(valueStart, valueStart + valueLength)
    const offset = [OFFSET_HEADER, Buffer.from(String(cursor.offset))] as const
    emit(topic, cursor.partition, cursor.timestampMs, key, value, [regionHeader, offset])
  }
}

/**
 * Starts a processor per region over `telemetry.flows`. They hand streams over as the route decisions say, and each flow
 * goes to `processed.traffic` once, through the region that holds its stream. The topics must exist.
 */
export async function startProcessors(options: ProcessorsOptions): Promise<RunningProcessors> {
  const { regions, codec, onWarning } = options
  await codec.prepare([{ topic: ACKS, record: 'Ack' }])
  const processors = new Map<string, Processor>()
  for (const region of regions) {
    const processor = regionProcessor(region, options)
    processors.set(region, processor)
    processor.done.catch((e: unknown) => onWarning?.(e instanceof Error ? e : new Error(String(e))))
  }
  const stop = async () => {
    await Promise.all([...processors.values()].map((processor) => processor.stop()))
  }
  try {
    await Promise.all([...processors.values()].map((processor) => processor.start()))
  } catch (error) {
    await stop()
    throw error
  }
  const status = () => [...processors].map(([region, p]) => ({ region, health: p.health() }))
  return {
    status,
    drained: (limitMs = DRAIN_MS) => untilDrained(options, status, limitMs),
    stop,
  }
}

function regionProcessor(region: string, options: ProcessorsOptions): Processor {
  const { broker, codec, clock, topicPrefix, timers, onWarning } = options
  const decisions = createBrokerSource<RouteBody>(
    broker,
    `${topicPrefix}${DECISIONS}`,
    decisionDecoder(codec, 'RouteDecision'),
    timers === undefined ? {} : { timers },
  )
  return createProcessor({
    region,
    regions: [...options.regions],
    defaultRegion: options.defaultRegion,
    broker,
    inputTopic: `${topicPrefix}${INPUT}`,
    stateTopic: `${topicPrefix}${STATE}`,
    decisions,
    streamOf: createFlowStreams(codec),
    process: forward(`${topicPrefix}${OUTPUT}`, region),
    acks: { topic: `${topicPrefix}${ACKS}`, encode: (ack) => codec.encode(ACKS, 'Ack', ack) },
    clock,
    replayId: options.replayId,
    commitIntervalMs: options.commitIntervalMs ?? COMMIT_MS,
    ...(timers === undefined ? {} : { timers }),
    ...(onWarning === undefined ? {} : { onWarning }),
  })
}

/** Stable end of the input, by partition. */
async function inputEnds(broker: Broker, topic: string): Promise<number[]> {
  const admin = broker.admin()
  try {
    const count = (await admin.partitions([topic])).get(topic) ?? 0
    const partitions = Array.from({ length: count }, (_, partition) => ({ topic, partition }))
    const ends = await admin.offsets(partitions, 'stable')
    return partitions.map((p) => ends.get(partitionKey(p.topic, p.partition)) ?? 0)
  } finally {
    await admin.close()
  }
}

/** A stream given away and not yet taken over is processed by nobody: such a moment is no end. */
function isDrained(all: readonly ProcessorStatus[], ends: readonly number[]): boolean {
  const sum = (pick: (health: ProcessorHealth) => number) => all.reduce((n, s) => n + pick(s.health), 0)
  return (
    sum((h) => h.takenOver) >= sum((h) => h.handedOver) &&
    all.every(
      ({ health }) =>
        !health.catchingUp && ends.every((end, partition) => (health.positions[partition] ?? 0) >= end),
    )
  )
}

async function untilDrained(
  { broker, topicPrefix }: ProcessorsOptions,
  status: () => ProcessorStatus[],
  limitMs: number,
): Promise<boolean> {
  const ends = await inputEnds(broker, `${topicPrefix}${INPUT}`)
  const deadline = performance.now() + limitMs
  while (!isDrained(status(), ends)) {
    if (performance.now() > deadline) return false
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
  }
  return true
}
