import type { RecordName } from '../../../schemas/index.ts'
import { ForestallError } from '../ports/index.ts'
import type { AggregateSpec } from './aggregates.ts'
import type { RoundProcessor } from './round.ts'
import type { Row, Verdict } from './row.ts'
import type { ClosedWindow } from './closed-window.ts'
import { type SessionShape, wrongSession } from './session-shape.ts'
import type { WindowShape } from './window-store.ts'

/**
 * A topology is a value: sources, windows, merges, rounds and sinks, all named. Names are contracts: they name
 * consumer groups, transactional ids, internal topics and snapshots, so changing one starts that node anew.
 */
export interface Topology {
  readonly name: string
  /** Records that enter, read in place. */
  readonly sources: Readonly<Record<string, SourceSpec>>
  /** Keyed event-time windows over a source. */
  readonly windows: Readonly<Record<string, WindowSpec>>
  /** Nodes that act once per time step, when all that belongs to it has come. */
  readonly rounds: Readonly<Record<string, RoundSpec>>
}

/** Where records enter, and which of them are valid. Whether a record is valid depends on the record alone. */
export interface SourceSpec {
  readonly topic: string
  readonly record: RecordName
  /** Fields to read, in slot order. */
  readonly fields: readonly string[]
  /** The field (one of `fields`) that holds the event time, ms since 1970. */
  readonly eventTime: string
  /** An event time beyond the Kafka timestamp + this is a dead letter. */
  readonly maxAheadMs: number
  /** An event time before this is a dead letter. */
  readonly earliestMs: number
  /** A source partition without records for this long (wall clock) no longer holds others up. */
  readonly idleMs: number
  /** Larger records are dead letters. */
  readonly maxRecordBytes: number
  /** Says which records to skip or refuse; undefined accepts. */
  check?(row: Row): Verdict
}

/** Keyed windows over one source: tumbling and hopping ones (`sizeMs`, `advanceMs`), or sessions (`kind: 'session'`). */
export type WindowSpec = FixedWindowSpec | SessionWindowSpec

/** Windows of one length. */
export interface FixedWindowSpec extends WindowNode, WindowShape {
  readonly kind?: never
}

/** Windows that last as long as their key is active. */
export interface SessionWindowSpec extends WindowNode, SessionShape {}

/** What all window nodes have. */
export interface WindowNode {
  /** Name of the source. */
  readonly from: string
  /** The string field (one of the source's `fields`) that is the key. */
  readonly key: string
  readonly aggregates: Readonly<Record<string, AggregateSpec>>
  /**
   * Internal topic through which partial aggregates meet where the partitions of the input do not follow the key.
   * Absent: every record of a key is in one partition, and the source's task closes the windows itself.
   */
  readonly merge?: { readonly topic: string; readonly partitions: number }
  readonly to: {
    readonly topic: string
    readonly record: RecordName
    /** Turns a closed window of one key into a record. */
    row(window: ClosedWindow): object
  }
}

/** Tasks that write to a topic, each telling its progress: one per partition of `partitionsOf`. */
export interface WriterSpec {
  /** `topology/node` as in the marks. */
  readonly node: string
  /** The topic whose partitions each have one such task. */
  readonly partitionsOf: string
  /** True if partition p is written by task p alone (an aligned sink); else every task writes to every partition. */
  readonly aligned: boolean
}

/** An input of a round node. */
export interface RoundInput {
  readonly topic: string
  readonly record: RecordName
  /** The field that says which round a row belongs to, ms since 1970. */
  readonly time: string
  readonly writers: readonly WriterSpec[]
}

/** A node that collects rows by time and acts once per time step, in order. */
export interface RoundSpec {
  /** 'partition': a task per partition, on the same partition of every input; 'all': one task reads every partition (joint decisions). */
  readonly scope: 'partition' | 'all'
  readonly inputs: Readonly<Record<string, RoundInput>>
  readonly outputs: Readonly<
    Record<string, { readonly topic: string; readonly record: RecordName; readonly marked: boolean }>
  >
  /** The state is written to the snapshot topic every so many rounds. */
  readonly snapshotEvery: number
  create(context: RoundContext): RoundProcessor
}

/** What a round node's processor is made with. */
export interface RoundContext {
  readonly partition: number
}

/** Topics that a topology makes for itself. */
export interface InternalTopic {
  readonly name: string
  readonly partitions: number
  readonly compacted: boolean
}

/** Checks a topology as a value; what it has none of may be left out. Throws TOPOLOGY_INVALID naming the node and the field. */
export function defineTopology(given: Pick<Topology, 'name'> & Partial<Topology>): Topology {
  const topology: Topology = { sources: {}, windows: {}, rounds: {}, ...given }
  const wrong = (node: string, what: string): never => {
    throw new ForestallError('TOPOLOGY_INVALID', `${topology.name}/${node}: ${what}`)
  }
  for (const [name, source] of Object.entries(topology.sources)) {
    if (!source.fields.includes(source.eventTime))
      wrong(name, `eventTime '${source.eventTime}' is not one of its fields`)
  }
  for (const [name, window] of Object.entries(topology.windows)) {
    const source = topology.sources[window.from]
    if (source === undefined) return wrong(name, `there is no source '${window.from}'`)
    if (!source.fields.includes(window.key))
      wrong(name, `key '${window.key}' is not a field of source '${window.from}'`)
    const reason = window.kind === 'session' ? wrongSession(window) : wrongShape(window)
    if (reason !== undefined) wrong(name, reason)
  }
  for (const [name, round] of Object.entries(topology.rounds)) {
    if (Object.keys(round.inputs).length === 0) wrong(name, 'has no input')
    if (!(round.snapshotEvery > 0)) wrong(name, `snapshotEvery ${round.snapshotEvery} must be positive`)
  }
  const readers = new Map<string, string>()
  const reads = (node: string, topic: string): void => {
    // A group has one committed offset per partition, and one note beside it.
    if (readers.has(topic)) wrong(node, `topic '${topic}' is read by '${readers.get(topic)}' already`)
    readers.set(topic, node)
  }
  for (const [name, { topic }] of Object.entries(topology.sources)) reads(name, topic)
  for (const [name, { merge }] of Object.entries(topology.windows)) if (merge) reads(name, merge.topic)
  for (const [name, { inputs }] of Object.entries(topology.rounds))
    for (const { topic } of Object.values(inputs)) reads(name, topic)
  return topology
}

function wrongShape({ sizeMs, advanceMs, graceMs }: WindowShape): string | undefined {
  if (!(sizeMs > 0)) return `sizeMs ${sizeMs} must be positive`
  if (!(advanceMs > 0 && advanceMs <= sizeMs)) return `advanceMs ${advanceMs} must lie in 1..sizeMs`
  return graceMs >= 0 ? undefined : `graceMs ${graceMs} must not be negative`
}

/** Name of the compacted topic that holds the snapshots of a round node. */
export const snapshotTopic = (topology: string, node: string): string =>
  `_forestall.snapshots.${topology}.${node}`

/** The topics that a topology makes for itself; `partitionsOf` gives the partitions of an existing topic. */
export function internalTopics(topology: Topology, partitionsOf: (topic: string) => number): InternalTopic[] {
  const merges = Object.values(topology.windows).flatMap((w) =>
    w.merge ? [{ name: w.merge.topic, partitions: w.merge.partitions, compacted: false }] : [],
  )
  const snapshots = Object.entries(topology.rounds).map(([node, round]) => ({
    name: snapshotTopic(topology.name, node),
    partitions:
      round.scope === 'all'
        ? 1
        : Math.max(...Object.values(round.inputs).map((input) => partitionsOf(input.topic))),
    compacted: true,
  }))
  return [...merges, ...snapshots]
}

/** Name of a task's origin in marks. */
export const originOf = (node: string, partition: number): string => `${node}/${partition}`

/** The origins that a reader of partition `partition` waits for, in a fixed order. */
export const originsOf = (
  writers: readonly WriterSpec[],
  partition: number,
  partitionsOf: (topic: string) => number,
): string[] =>
  writers.flatMap((w) =>
    w.aligned
      ? [originOf(w.node, partition)]
      : Array.from({ length: partitionsOf(w.partitionsOf) }, (_, p) => originOf(w.node, p)),
  )
