import { expect } from 'vitest'
import { createCodec, type RecordCodec } from '../../../pipelines/core/codec/index.ts'
import {
  type Broker,
  type ManualClock,
  manualClock,
  partitionKey,
  type Producer,
} from '../../../pipelines/core/ports/index.ts'
import {
  createRecordReaders,
  createWorker,
  END_OF_INPUT_MS,
  inputTopics,
  internalTopics,
  markHeaders,
  type Topology,
  type Worker,
  type WorkerOptions,
} from '../../../pipelines/core/runtime/index.ts'
import {
  createMemoryBroker,
  type MemoryBroker,
  type MemoryClient,
} from '../../../pipelines/core/runtime/testing/memory-broker.ts'
import { createMemoryRegistry } from '../../../pipelines/core/runtime/testing/memory-registry.ts'
import type { Flow, OffsetLedger, RecordByName, RecordName } from '../../../schemas/index.ts'
import { until } from '../../support/until.ts'
import { flow, flowWindows } from './fixtures.ts'

export const NOW = 1_000_000
export const FLOWS = 'telemetry.flows'
export const FEATURES = 'features.streams'
export const LETTERS = `dlq.${FLOWS}`

/** A worker in a process of its own. */
export interface Process {
  readonly worker: Worker
  readonly client: MemoryClient
  readonly warnings: Error[]
  readonly fatal: Promise<Error>
  /** The process dies. Give it a long `commitIntervalMs`: a timer that ticks on would make it a zombie. */
  kill(): void
}

/** A topology on the broker in memory. */
export interface World {
  readonly broker: MemoryBroker
  readonly clock: ManualClock
  /** A process that runs a worker; it is stopped at the end unless it was killed. */
  launch(slot: string, options?: Partial<WorkerOptions>, wrap?: (broker: Broker) => Broker): Promise<Process>
  send(partition: number, flow: Flow): void
  sendBytes(partition: number, value: Buffer): void
  end(): void
  /** Committed records with a value. */
  read<R extends RecordName>(topic: string, record: R): Promise<RecordByName[R][]>
  /** Waits until every feature partition has been told that the input is over. */
  flushed(): Promise<void>
  /** Waits until the group has committed all that was sent. */
  caughtUp(): Promise<void>
  close(): Promise<void>
}

/** Makes topics for a topology; nothing runs yet. */
export async function createWorld(
  topology: Topology,
  partitions: Readonly<Record<string, number>> = {},
): Promise<World> {
  const broker = createMemoryBroker()
  const clock = manualClock(NOW)
  const codec: RecordCodec = createCodec(createMemoryRegistry())
  const count = (topic: string) => partitions[topic] ?? 1
  const outputs = Object.values(topology.rounds).flatMap((r) => Object.values(r.outputs).map((o) => o.topic))
  const named = [...inputTopics(topology), ...outputs, FEATURES, LETTERS, 'audit.offsets']
  const internal = internalTopics(topology, count)
  const specs = new Map([...new Set(named)].map((name) => [name, count(name)]))
  for (const { name, partitions } of internal) specs.set(name, partitions)
  await broker.admin().ensureTopics([...specs].map(([name, partitions]) => ({ name, partitions })))
  await codec.prepare([
    { topic: FLOWS, record: 'Flow' },
    { topic: FEATURES, record: 'StreamFeature' },
    { topic: 'forecasts.traffic', record: 'Forecast' },
    { topic: LETTERS, record: 'DeadLetter' },
    { topic: 'audit.offsets', record: 'OffsetLedger' },
  ])
  const producer: Producer = broker.producer()
  const processes = new Set<Process>()
  const allOf = (topic: string) =>
    Array.from({ length: specs.get(topic) ?? 1 }, (_, partition) => ({ topic, partition }))

  async function scan(
    topic: string,
    visit: Parameters<Broker['readPartitions']>[0]['onBatch'],
  ): Promise<void> {
    const reader = broker.readPartitions({
      partitions: allOf(topic).map((p) => ({ ...p, from: 'earliest' as const })),
      until: 'stable',
      onBatch: visit,
    })
    await reader.done
    await reader.close()
  }

  return {
    broker,
    clock,
    async launch(slot, options = {}, wrap = (b) => b) {
      const client = broker.connect()
      const warnings: Error[] = []
      const fatal = Promise.withResolvers<Error>()
      let dead = false
      const worker = createWorker({
        topology,
        broker: mortal(wrap(client), () => dead),
        encoder: codec,
        readers: createRecordReaders(codec),
        clock,
        slot,
        commitIntervalMs: 5,
        onFatal: fatal.resolve,
        onWarning: (error) => warnings.push(error),
        ...options,
      })
      const process: Process = {
        worker,
        client,
        warnings,
        fatal: fatal.promise,
        kill() {
          dead = true
          client.kill()
          processes.delete(process)
        },
      }
      processes.add(process)
      await worker.start()
      return process
    },
    send: (partition, flow) =>
      producer.add(FLOWS, partition, clock.nowMs(), null, codec.encode(FLOWS, 'Flow', flow)),
    sendBytes: (partition, value) => producer.add(FLOWS, partition, clock.nowMs(), null, value),
    end() {
      const headers = markHeaders({ origin: 'end', watermarkMs: END_OF_INPUT_MS, idle: false })
      for (const { partition } of allOf(FLOWS))
        producer.add(FLOWS, partition, clock.nowMs(), null, null, headers)
    },
    async read(topic, record) {
      const rows: RecordByName[typeof record][] = []
      await scan(topic, async (cursor) => {
        while (cursor.next()) {
          const { buffer, valueStart, valueLength } = cursor
          if (valueLength >= 0)
            rows.push(await codec.decodeAsync(buffer, valueStart, valueStart + valueLength, record))
        }
      })
      return rows
    },
    flushed: async () => {
      await until(
        () => {
          const tasks = [...processes].flatMap((p) => p.worker.tasks())
          return tasks.length > 0 && tasks.every((task) => task.watermarkMs >= END_OF_INPUT_MS)
        },
        { what: 'every task has passed the end of the input', everyMs: 2 },
      )
      await caughtUp()
    },
    caughtUp,
    async close() {
      for (const { worker } of processes) await worker.stop()
      await broker.close()
    },
  }

  async function caughtUp(): Promise<void> {
    await until(async () => (await lag()) === 0, { what: 'all input is committed', everyMs: 2 })
  }

  /** Records of the source that the group has not committed. */
  async function lag(): Promise<number> {
    const admin = broker.admin()
    const ends = await admin.offsets(allOf(FLOWS), 'stable')
    const committed = await admin.committed(topology.name, allOf(FLOWS))
    return committed.reduce((sum, { topic, partition, offset }) => {
      return sum + (ends.get(partitionKey(topic, partition)) ?? 0) - Math.max(0, offset)
    }, 0)
  }
}

/** Producers of a process that is dead do nothing more, whatever timers of it are left in this one. */
function mortal(broker: Broker, isDead: () => boolean): Broker {
  const forever = new Promise<never>(() => undefined)
  return {
    ...broker,
    transactionalProducer(options) {
      const producer = broker.transactionalProducer(options)
      const living =
        <Args extends unknown[], Result>(work: (...args: Args) => Promise<Result>) =>
        (...args: Args): Promise<Result> =>
          isDead() ? forever : work(...args)
      return {
        get pendingBytes() {
          return producer.pendingBytes
        },
        get dirty() {
          return producer.dirty
        },
        init: living(() => producer.init()),
        add: (...record) => (isDead() ? undefined : producer.add(...record)),
        sendOffsets: living((...args: Parameters<typeof producer.sendOffsets>) =>
          producer.sendOffsets(...args),
        ),
        commit: living(() => producer.commit()),
        abort: living(() => producer.abort()),
        close: () => producer.close(),
      }
    },
  }
}

/** Every offset of every partition is accounted for once. */
export function expectWhole(entries: readonly OffsetLedger[], records: number): void {
  for (const p of [0, 1, 2]) {
    const own = entries.filter((e) => e.partition === p)
    own.forEach((e, i) => expect(e.from_offset).toBe(i === 0 ? 0 : own[i - 1]?.to_offset))
  }
  expect(entries.reduce((n, e) => n + e.records, 0)).toBe(records)
}

/** Flows of ascending times per partition, so that none is late. */
export function sender(world: World) {
  const times = [0, 0, 0]
  const flows: Flow[] = []
  return {
    flows,
    send(partition: number, aheadMs: number, stream: number, bytes: number) {
      times[partition] = (times[partition] as number) + aheadMs
      const f = flow(NOW + times[partition], `s${stream}`, bytes, bytes % 7)
      flows.push(f)
      world.send(partition, f)
    },
  }
}

const PARTITIONS = { [FLOWS]: 3, [FEATURES]: 2 }
/** A world with windows of a second and half a second of grace, over three partitions. */
export const newWorld = (): Promise<World> => createWorld(flowWindows({ graceMs: 500 }), PARTITIONS)
