import { setTimeout as delay } from 'node:timers/promises'
import type { RecordCodec } from '#core/codec'
import { type Broker, partitionKey, systemClock, type TopicPartition } from '#core/ports'
import { createRecordReaders, createWorker, defineTopology, type Topology } from '#core/runtime'
import { deadLetterTopic } from '#schemas'
import type { Lane } from './differential-input.ts'
import { FIGURES, figuresWithSquares, flowSource, SQUARES } from './flow-figures.ts'

/** Topics of a lane, as named in the topology. */
export const inputOf = (lane: Lane): string => `in.${lane.name}`
/** Where our windows of a lane go. */
export const outputOf = (lane: Lane): string => `ours.${lane.name}`

/** The windows of all lanes as one topology; each has a source and an output of its own. */
export function lanesTopology(lanes: readonly Lane[]): Topology {
  return defineTopology({
    name: 'lanes',
    sources: Object.fromEntries(
      lanes.map((lane) => [
        lane.name,
        { ...flowSource(inputOf(lane), lane.idleMs ?? 3_600_000), maxAheadMs: 0, maxRecordBytes: 10_000 },
      ]),
    ),
    windows: Object.fromEntries(lanes.map((lane) => [lane.name, windowsOf(lane)])),
  })
}

function windowsOf(lane: Lane): Topology['windows'][string] {
  return {
    from: lane.name,
    key: 'stream',
    sizeMs: lane.sizeMs,
    advanceMs: lane.advanceMs,
    graceMs: lane.graceMs,
    ...(lane.merge ? { merge: lane.merge } : {}),
    aggregates: { ...FIGURES, ...SQUARES },
    to: { topic: outputOf(lane), record: 'StreamFeature', row: figuresWithSquares },
  }
}

/** Where a run of our side happens. */
export interface OursRun {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly lanes: readonly Lane[]
  /** Of all topics and of the group. */
  readonly prefix: string
  readonly partitions: number
}

/** Prepares the codec for everything the topology writes. */
export async function prepareOurs({ codec, lanes }: OursRun): Promise<void> {
  await codec.prepare([
    ...lanes.flatMap((lane) => [
      { topic: inputOf(lane), record: 'Flow' as const },
      { topic: outputOf(lane), record: 'StreamFeature' as const },
      { topic: deadLetterTopic(inputOf(lane)).name, record: 'DeadLetter' as const },
    ]),
    { topic: 'audit.offsets', record: 'OffsetLedger' },
  ])
}

const POLL_MS = 50

/**
 * Runs two workers until the group has committed the end of all inputs and `isOut` says that all is written. Rejects
 * with what a worker warns of: nothing is to go wrong here.
 */
export async function runOurs(run: OursRun, isOut: () => Promise<boolean> = async () => true): Promise<void> {
  const { broker, codec, lanes, prefix, partitions } = run
  const topology = lanesTopology(lanes)
  const troubles: Error[] = []
  const workers = ['0', '1'].map((slot) =>
    createWorker({
      topology,
      broker,
      prefix,
      encoder: codec,
      readers: createRecordReaders(codec),
      clock: systemClock,
      slot,
      onFatal: (error) => troubles.push(error),
      onWarning: (error) => troubles.push(error),
    }),
  )
  const inputs: TopicPartition[] = lanes.flatMap((lane) =>
    Array.from({ length: partitions }, (_, partition) => ({ topic: `${prefix}${inputOf(lane)}`, partition })),
  )
  const admin = broker.admin()
  try {
    const ends = await admin.offsets(inputs, 'latest')
    await Promise.all(workers.map((worker) => worker.start()))
    for (let done = false; !done; await delay(POLL_MS)) {
      for (const trouble of troubles) throw trouble
      const committed = await admin.committed(`${prefix}${topology.name}`, inputs)
      const read = committed.every(
        (c) => Math.max(0, c.offset) >= (ends.get(partitionKey(c.topic, c.partition)) ?? 0),
      )
      done = read && (await isOut())
    }
  } finally {
    for (const worker of workers) await worker.stop()
    await admin.close()
  }
}
