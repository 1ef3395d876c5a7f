import { afterAll, beforeAll, expect, inject } from 'vitest'
import type { RecordCodec } from '#core/codec'
import { type Broker, type Producer, systemClock } from '#core/ports'
import {
  createRecordReaders,
  createWorker,
  END_OF_INPUT_MS,
  internalTopics,
  markHeaders,
  type Topology,
  type Worker,
  type WorkerOptions,
} from '#core/runtime'
import { createBroker } from '#infra/kafka'
import {
  deadLetterTopic,
  type Flow,
  type RecordByName,
  type RecordName,
  topicName,
  topicSpec,
} from '#schemas'
import { readTopic } from '../../jobs/topic-reader.ts'
import { uniqueName } from './unique.ts'
import { until } from './until.ts'

const INPUT = 'telemetry.flows'
/** On a busy machine a partition may be silent for seconds that has more to say. */
const IDLE_MS = 60_000

/** A topology over flows on the Kafka of the stack, with topics and a group of its own. */
export interface TopologyOnKafka {
  /** What workers failed on or warned of. */
  readonly troubles: readonly Error[]
  /** Starts a worker. */
  launch(options?: Partial<WorkerOptions>): Promise<Worker>
  /** Puts flows into the input, over all of its partitions in turn. */
  send(flows: readonly Flow[]): Promise<void>
  /** Tells every partition of the input that it is over. */
  end(): Promise<void>
  /** Flows whose taking in is committed. */
  committed(): Promise<number>
  /** What stands in a topic. */
  read<R extends RecordName>(topic: string, record: R): Promise<RecordByName[R][]>
}

/** `records`: of the outputs. `partitions`: of the input and the outputs, if not as declared. To be called at the top of a file. */
export function topologyOnKafka(options: {
  readonly topology: Topology
  readonly codec: RecordCodec
  readonly records: Readonly<Record<string, RecordName>>
  readonly partitions?: number
}): TopologyOnKafka {
  const { codec, records, partitions } = options
  const topology = {
    ...options.topology,
    sources: Object.fromEntries(
      Object.entries(options.topology.sources).map(([name, spec]) => [name, { ...spec, idleMs: IDLE_MS }]),
    ),
  }
  const prefix = `${uniqueName('topology')}.`
  const name = (topic: string) => topicName(topic, prefix)
  const sources = Object.values(topology.sources).map(({ topic }) => topic)
  const letters = sources.map((topic) => deadLetterTopic(topic).name)
  const troubles: Error[] = []
  let broker: Broker
  let producer: Producer
  let inputs: { topic: string; partition: number }[]
  let sent = 0

  beforeAll(async () => {
    broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: prefix })
    const wide = { prefix, ...(partitions ? { partitions } : {}) }
    const admin = broker.admin()
    await admin.ensureTopics([
      ...[...sources, ...Object.keys(records)].map((topic) => topicSpec(topic, wide)),
      ...[...letters, 'audit.offsets'].map((topic) => topicSpec(topic, { prefix })),
      ...internalTopics(topology, () => 1).map((t) => ({ name: name(t.name), partitions: t.partitions })),
    ])
    const count = (await admin.partitions([name(INPUT)])).get(name(INPUT)) ?? 0
    await admin.close()
    inputs = Array.from({ length: count }, (_, partition) => ({ topic: name(INPUT), partition }))
    await codec.prepare([
      { topic: INPUT, record: 'Flow' },
      { topic: 'audit.offsets', record: 'OffsetLedger' },
      ...letters.map((topic) => ({ topic, record: 'DeadLetter' as const })),
      ...Object.entries(records).map(([topic, record]) => ({ topic, record })),
    ])
    producer = broker.producer()
  })
  afterAll(async () => {
    await producer.close()
    await broker.close()
  })

  return {
    troubles,
    async launch(more = {}) {
      const worker = createWorker({
        topology,
        broker,
        prefix,
        encoder: codec,
        readers: createRecordReaders(codec),
        slot: 'w0',
        clock: systemClock,
        commitIntervalMs: 20,
        onFatal: (error) => troubles.push(error),
        onWarning: (error) => troubles.push(error),
        ...more,
      })
      await worker.start()
      return worker
    },
    async send(flows) {
      for (const flow of flows)
        producer.add(
          name(INPUT),
          sent++ % inputs.length,
          flow.event_time_ms,
          null,
          codec.encode(INPUT, 'Flow', flow),
        )
      await producer.flush()
    },
    async end() {
      const headers = markHeaders({ origin: 'end', watermarkMs: END_OF_INPUT_MS, idle: false })
      for (const { topic, partition } of inputs)
        producer.add(topic, partition, Date.now(), null, null, headers)
      await producer.flush()
    },
    async committed() {
      const admin = broker.admin()
      const offsets = await admin.committed(`${prefix}${topology.name}`, inputs)
      await admin.close()
      return offsets.reduce((sum, { offset }) => sum + Math.max(0, offset), 0)
    },
    async read(topic, record) {
      const rows: RecordByName[typeof record][] = []
      await readTopic(broker, codec, name(topic), record, (row) => void rows.push(row))
      return rows
    },
  }
}

/**
 * Two workers take flows in one after the other: half of them, a restart with windows open, the rest and the end, until
 * the window `streams` has been merged. Nothing goes wrong, and every flow is taken in once.
 */
export async function throughRestart(
  kafka: TopologyOnKafka,
  flows: readonly Flow[],
): Promise<{ readonly replayed: number }> {
  const half = Math.floor(flows.length / 2)
  const first = await kafka.launch()
  await kafka.send(flows.slice(0, half))
  const isHalfDone = async () => {
    for (const trouble of kafka.troubles) throw trouble
    return (await kafka.committed()) >= half
  }
  await until(isHalfDone, { what: 'the first half is committed' })
  await first.stop()
  const second = await kafka.launch()
  await kafka.send(flows.slice(half))
  await kafka.end()
  const merges = () => second.tasks().filter((task) => task.id.includes('/streams:merge/'))
  await until(() => merges().length > 0 && merges().every((task) => task.watermarkMs >= END_OF_INPUT_MS), {
    what: 'the end has been merged',
  })
  await second.stop()
  expect(kafka.troubles).toEqual([])
  expect(first.counters.recordsIn + second.counters.recordsIn).toBe(flows.length)
  return { replayed: second.counters.replayed }
}
