import { afterAll, beforeAll, inject } from 'vitest'
import { type RecordByName, type RecordName, TABLES, topicSpec, VIEWS } from '#schemas'
import { createCodec, type RecordCodec } from '#core/codec'
import { type Broker, systemClock, type Warehouse } from '#core/ports'
import { createSink, decodeWith, ensureTables, type Sink } from '#core/warehouse'
import { createWarehouse, ensureDatabase } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { replayPrefix } from '../../jobs/args.ts'
import { databaseOf } from '../../jobs/connect.ts'
import { readTopic } from '../../jobs/topic-reader.ts'

/** Topics and tables of one replay in the stack; what it holds is there once the hooks of the file have run. */
export interface ReplayScope {
  /** Of its topics. */
  readonly prefix: string
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly warehouse: Warehouse
  /** Copies its topics into its tables from now on. */
  startSink(): Promise<Sink>
  /** What stands in a topic of it, in order. */
  read<R extends RecordName>(topic: string, record: R): Promise<RecordByName[R][]>
  /** Puts records into a topic of it. */
  write<R extends RecordName>(
    topic: string,
    record: R,
    rows: readonly (readonly [key: string, value: RecordByName[R]])[],
  ): Promise<void>
}

/** Makes them before the tests of a file, and drops them afterwards. To be called at the top of the file. */
export function replayScope(
  replayId: string,
  records: readonly (readonly [topic: string, record: RecordName])[],
): ReplayScope {
  const prefix = replayPrefix(replayId)
  const codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))
  const broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: replayId })
  const clickhouse = { url: inject('clickhouseUrl'), database: databaseOf(prefix) }
  const warehouse = createWarehouse(clickhouse)
  let sink: Sink | null = null

  beforeAll(async () => {
    const admin = broker.admin()
    await admin.ensureTopics(records.map(([topic]) => topicSpec(topic, { prefix, partitions: 1 })))
    await admin.close()
    await codec.prepare(records.map(([topic, record]) => ({ topic, record })))
    await ensureDatabase(clickhouse)
    await ensureTables(warehouse, TABLES)
    for (const { name, select } of VIEWS)
      await warehouse.command(`CREATE OR REPLACE VIEW ${name} AS ${select}`)
  })
  afterAll(async () => {
    await sink?.stop()
    await warehouse.command(`DROP DATABASE IF EXISTS ${clickhouse.database}`)
    await warehouse.close()
    const admin = broker.admin()
    await admin.deleteTopics((await admin.listTopics()).filter((name) => name.startsWith(prefix)))
    await admin.close()
    await broker.close()
  })

  return {
    prefix,
    broker,
    codec,
    warehouse,
    async startSink() {
      sink = createSink({
        broker,
        warehouse,
        groupId: `${prefix}sink`,
        tables: TABLES,
        decode: decodeWith(codec),
        clock: systemClock,
        topicPrefix: prefix,
        flushMs: 50,
        onError: (error) => console.error(error),
      })
      await sink.start()
      return sink
    },
    async read(topic, record) {
      const found: RecordByName[typeof record][] = []
      await readTopic(broker, codec, prefix + topic, record, (row) => void found.push(row))
      return found
    },
    async write(topic, record, rows) {
      const producer = broker.producer()
      for (const [key, row] of rows)
        producer.add(prefix + topic, 0, Date.now(), Buffer.from(key), codec.encode(topic, record, row))
      await producer.flush()
      await producer.close()
    },
  }
}
