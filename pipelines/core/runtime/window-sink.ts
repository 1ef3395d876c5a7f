import { Buffer } from 'node:buffer'
import { AggregatePlan } from './aggregate-columns.ts'
import { ByteWriter } from '../math/index.ts'
import { ClosedWindow } from './closed-window.ts'
import { markHeaders } from './marks.ts'
import { partitionOf } from './partitioner.ts'
import type { Row } from './row.ts'
import type { TaskContext } from './task.ts'
import { originOf, type SourceSpec, type Topology, type WindowSpec } from './topology.ts'
import { encodeEntry, type Pane, WindowStore } from './window-store.ts'

/** Partial aggregates travel in blocks of at most about this size. */
const BLOCK_BYTES = 256 * 1024
const BLOCK_VERSION = 1

/** Origin under which the source tasks of a merged window tell their progress. */
export const partialNode = (topology: string, window: string): string => `${topology}/${window}:partial`
/** Origin under which the tasks that write a window's output tell their progress. */
export const windowNode = (topology: string, window: string): string => `${topology}/${window}`

/** The open windows of one window node in one source task, and where they go when they close. */
export class WindowSink {
  readonly store: WindowStore
  readonly #spec: WindowSpec
  readonly #keySlot: number
  readonly #context: TaskContext
  readonly #emitter: PaneEmitter
  #closedThroughMs = Number.NEGATIVE_INFINITY
  #incompleteBeforeMs = Number.NEGATIVE_INFINITY

  constructor(spec: WindowSpec, keySlot: number, context: TaskContext, emitter: PaneEmitter) {
    this.#spec = spec
    this.#keySlot = keySlot
    this.#context = context
    this.#emitter = emitter
    this.store = new WindowStore(spec, new AggregatePlan(Object.values(spec.aggregates)))
  }

  /** Takes a record into its windows that are still open; false if all of them have closed. It counts after a flush of the store. */
  add(timeMs: number, row: Row, offset: number, watermarkMs: number): boolean {
    return this.store.add(timeMs, row, this.#keySlot, offset, watermarkMs)
  }

  /** The smallest watermark (ms) that closes a further window; -Infinity before the first record. */
  get closesNextAtMs(): number {
    return this.#closedThroughMs + this.#spec.advanceMs + this.#spec.graceMs
  }

  /** What a restart knows: everything that `watermarkMs` closes has been emitted. */
  resume(watermarkMs: number): void {
    this.#closedThroughMs = this.store.closesThroughMs(watermarkMs)
  }

  /** Input before `beforeMs` (event time) may be missing: windows that begin before are incomplete. */
  lostInput(beforeMs: number): void {
    this.#incompleteBeforeMs = beforeMs
  }

  /** True if a window that begins before `beforeMs` (event time) has not been emitted yet. */
  opensBefore(beforeMs: number): boolean {
    return Number.isFinite(beforeMs) && this.#closedThroughMs < beforeMs + this.#spec.sizeMs - 1
  }

  /**
   * Emits what the watermark closes, and tells the progress if something closes or `announce`; true if anything was
   * emitted. Also where nothing is open: a late record may still come that belongs to a window that closes now and to
   * one that does not.
   */
  async advance(watermarkMs: number, announce: boolean): Promise<boolean> {
    const throughMs = this.store.closesThroughMs(watermarkMs)
    const closes = throughMs > this.#closedThroughMs
    if (closes) {
      await this.store.close(this.#closedThroughMs, throughMs, async (pane, startMs, endMs) => {
        pane.incomplete ||= startMs < this.#incompleteBeforeMs
        await this.#emitter.emit(pane, startMs, endMs)
        this.#context.counters.windows += pane.keys.size
      })
      this.#closedThroughMs = throughMs
    }
    if (closes || announce) this.#emitter.mark(this.#closedThroughMs, false)
    return closes || announce
  }

  /** Tells that nothing comes any more, so that others do not wait. */
  tellIdle(): void {
    this.#emitter.mark(this.#closedThroughMs, true)
  }
}

/** Rows that are emitted in one turn. A window of a million keys must not hold up heartbeats and the sending of what is out. */
const ROWS_PER_TURN = 4096

/** Lets everything else run, after every so many rows. */
const breathe = (rows: number): Promise<void> | undefined =>
  rows % ROWS_PER_TURN === 0 ? new Promise((resolve) => setImmediate(resolve)) : undefined

/** Where closed windows go. */
export interface PaneEmitter {
  /** Emits all keys; over several turns of the event loop if there are many. */
  emit(pane: Pane, startMs: number, endMs: number): Promise<void>
  mark(watermarkMs: number, idle: boolean): void
}

/** Emits finished rows, one record per key, to one partition of the window's topic. */
export function rowEmitter(
  topology: Topology,
  name: string,
  partition: number,
  context: TaskContext,
): PaneEmitter {
  const { to, aggregates } = topology.windows[name] as WindowSpec
  const view = new ClosedWindow(Object.keys(aggregates))
  const topic = context.topicName(to.topic)
  const origin = originOf(windowNode(topology.name, name), partition)
  return {
    async emit(pane, startMs, endMs) {
      for (let slot = 0; slot < pane.keys.size; slot++) {
        const pause = breathe(slot + 1)
        if (pause !== undefined) await pause
        view.at(pane, slot, startMs, endMs)
        context.out.emit(
          topic,
          partition,
          endMs,
          pane.keys.view(slot),
          context.encoder.encodeView(to.topic, to.record, to.row(view)),
        )
      }
    },
    mark(watermarkMs, idle) {
      context.out.emit(
        topic,
        partition,
        context.clock.nowMs(),
        null,
        null,
        markHeaders({ origin, watermarkMs, idle }),
      )
    },
  }
}

/** Emits partial aggregates in blocks to the partition of each key in the merge topic. */
function partialEmitter(
  topology: Topology,
  name: string,
  partition: number,
  context: TaskContext,
): PaneEmitter {
  const { merge } = topology.windows[name] as WindowSpec
  if (merge === undefined) throw new TypeError(`window '${name}' has no merge`)
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

/** The window sinks of a source's task. */
export function createWindowSinks(
  topology: Topology,
  source: string,
  partition: number,
  context: TaskContext,
): WindowSink[] {
  const { fields } = topology.sources[source] as SourceSpec
  return Object.entries(topology.windows)
    .filter(([, spec]) => spec.from === source)
    .map(([name, spec]) => {
      const emitter = (spec.merge ? partialEmitter : rowEmitter)(topology, name, partition, context)
      return new WindowSink(spec, fields.indexOf(spec.key), context, emitter)
    })
}
