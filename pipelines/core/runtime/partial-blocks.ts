import { Buffer } from 'node:buffer'
import { ByteReader, ByteWriter } from '../math/index.ts'
import type { RecordCursor, TopicPartition } from '../ports/index.ts'
import { breathe } from './breathe.ts'
import { emitDeadLetter } from './dead-letter.ts'
import { markHeaders, OriginProgress } from './marks.ts'
import { partitionOf } from './partitioner.ts'
import type { TaskContext } from './task.ts'
import { originOf, originsOf, type SourceSpec, type Topology, type WindowSpec } from './topology.ts'
import type { PaneEmitter } from './window-sink.ts'
import { encodeEntry } from './window-store.ts'

/** Partial aggregates travel in blocks of at most about this size. */
const BLOCK_BYTES = 256 * 1024
const BLOCK_VERSION = 1

/** Origin under which the source tasks of a merged window tell their progress. */
const partialNode = (topology: string, window: string): string => `${topology}/${window}:partial`

function mergeOf(topology: Topology, name: string) {
  const { merge } = topology.windows[name] as WindowSpec
  if (merge === undefined) throw new TypeError(`window '${name}' has no merge`)
  return merge
}

/** Emits partial aggregates in blocks to the partition of each key in the merge topic. */
export function partialEmitter(
  topology: Topology,
  name: string,
  partition: number,
  context: TaskContext,
): PaneEmitter {
  const merge = mergeOf(topology, name)
  const topic = context.topicName(merge.topic)
  const origin = originOf(partialNode(topology.name, name), partition)
  const writers = Array.from({ length: merge.partitions }, () => new ByteWriter(4096))
  const send = (target: number, endMs: number) => {
    const writer = writers[target] as ByteWriter
    if (writer.length > 0) context.out.emit(topic, target, endMs, Buffer.from(origin), writer.view())
    writer.reset()
  }
  return {
    async emit(pane, startMs, endMs) {
      for (let slot = 0; slot < pane.keys.size; slot++) {
        const pause = breathe(slot + 1)
        if (pause !== undefined) await pause
        const target = partitionOf(pane.keys.view(slot), merge.partitions)
        const writer = writers[target] as ByteWriter
        if (writer.length === 0) {
          writer.u8(BLOCK_VERSION)
          writer.u8(pane.incomplete ? 1 : 0)
          writer.varint(startMs)
        }
        encodeEntry(pane, slot, writer)
        if (writer.length >= BLOCK_BYTES) send(target, endMs)
      }
      for (let target = 0; target < merge.partitions; target++) send(target, endMs)
    },
    mark(watermarkMs, idle) {
      const headers = markHeaders({ origin, watermarkMs, idle })
      for (let target = 0; target < merge.partitions; target++) {
        context.out.emit(topic, target, context.clock.nowMs(), null, null, headers)
      }
    },
  }
}

/** Partial aggregates of one window (of sessions: one slice), from one source partition. */
export interface PartialBlock {
  readonly startMs: number
  readonly incomplete: boolean
  readonly entries: ByteReader
}

/** One partition of a window's merge topic, as its merge task reads it. */
export interface PartialReader {
  readonly input: TopicPartition
  /** The tasks of all source partitions, in a fixed order. */
  readonly origins: readonly string[]
  /** How far they have got. */
  readonly progress: OriginProgress
  /** The block of the cursor's record. */
  read(cursor: RecordCursor): PartialBlock
  /** Only a source partition that was idle and speaks again can be this late: its block is kept as a dead letter. */
  tooLate(cursor: RecordCursor, reason: string): void
}

/** Reads what `partialEmitter` has written. */
export function partialReader(
  topology: Topology,
  name: string,
  partition: number,
  context: TaskContext,
): PartialReader {
  const merge = mergeOf(topology, name)
  const { topic: source } = topology.sources[(topology.windows[name] as WindowSpec).from] as SourceSpec
  const writer = { node: partialNode(topology.name, name), partitionsOf: source, aligned: false }
  const origins = originsOf([writer], partition, (topic) => context.partitionsOf(topic))
  return {
    input: { topic: context.topicName(merge.topic), partition },
    origins,
    progress: new OriginProgress(origins),
    read({ buffer, valueStart, valueLength }) {
      context.merged(valueLength)
      const entries = new ByteReader(buffer, valueStart, valueStart + valueLength)
      entries.u8() // version
      const incomplete = entries.u8() === 1
      return { startMs: entries.varint(), incomplete, entries }
    },
    tooLate(cursor, reason) {
      context.counters.late++
      const from = { topic: merge.topic, letters: source }
      const refusal = { code: 'RECORD_LATE', reason } as const
      emitDeadLetter(context, topology.name, from, cursor, refusal, cursor.valueLength)
    },
  }
}
