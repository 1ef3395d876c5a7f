import type { RecordCodec } from '#core/codec'
import type { Broker, Clock, Warehouse } from '#core/ports'
import { createRecordReaders, createWorker, type Topology, type Worker } from '#core/runtime'
import type { Part } from '#core/subsystem'
import { createSink, decodeWith, type Sink } from '#core/warehouse'
import { type RecordName, TABLES, TOPICS } from '#schemas'

/** What the workers and the sink of any subsystem are made of. */
export interface PipelineDeps {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly clock: Clock
  /** Stable name of this process among its like. */
  readonly slot: string
  /** Prefix of all topics and groups; '' is live. */
  readonly prefix: string
  readonly commitIntervalMs?: number
  readonly onWarning: (error: Error) => void
  readonly onFatal: (error: Error) => void
}

/** Registers the record of every topic that has one. */
export function prepareRecords(codec: RecordCodec): Promise<void> {
  return codec.prepare(
    TOPICS.flatMap(({ name, record }) =>
      record === null ? [] : [{ topic: name, record: record satisfies RecordName }],
    ),
  )
}

/** A worker, not started, for each of the topologies chosen. */
export function createWorkers(
  topologies: readonly (readonly [Part, Topology])[],
  choice: Part | 'all',
  deps: PipelineDeps,
): Map<Part, Worker> {
  const { codec, commitIntervalMs, ...rest } = deps
  return new Map(
    topologies
      .filter(([name]) => choice === 'all' || choice === name)
      .map(([name, topology]) => [
        name,
        createWorker({
          ...rest,
          topology,
          encoder: codec,
          readers: createRecordReaders(codec),
          ...(commitIntervalMs === undefined ? {} : { commitIntervalMs }),
        }),
      ]),
  )
}

/** Brings every topic to its table; not started. `instance` names this process among the sinks of the prefix. */
export function createTableSink(deps: PipelineDeps, warehouse: Warehouse, instance: string): Sink {
  const { broker, codec, clock, prefix, onWarning } = deps
  return createSink({
    broker,
    warehouse,
    groupId: `${prefix}warehouse`,
    groupInstanceId: instance,
    tables: TABLES,
    decode: decodeWith(codec),
    clock,
    topicPrefix: prefix,
    flushMs: 200,
    onError: onWarning,
  })
}
