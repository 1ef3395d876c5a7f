import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { createCodec } from '#core/codec'
import { atMost, nearestRank, sorted, type Target } from '#core/evaluation'
import { type Broker, ForestallError, type Warehouse } from '#core/ports'
import { ensureTables, type SinkCounters } from '#core/warehouse'
import { type ClickHouseProcess, createWarehouse, startClickHouse } from '#infra/clickhouse'
import { type StreamFeature, TABLES } from '#schemas'
import { knownRegistry } from './live-topology.ts'
import { openLiveStack } from './live-stack.ts'
import type { SinkProcessOptions } from './sink-process.ts'

/** What `npm run bench -- sink` prints last. */
export interface SinkBench {
  readonly case: 'sink'
  /** Median of the runs: rows of a topic in ClickHouse per second of wall clock. */
  readonly figure: number
  readonly unit: 'rows/s'
  readonly peer: null
  readonly ratio: null
  readonly runs: readonly SinkRun[]
  /** Rows per CPU second of the sink's process, median: what one core can do if ClickHouse and Kafka keep up. */
  readonly rowsPerCpuSecond: number
  readonly kills: KillRun
  readonly targets: readonly Target[]
}

interface SinkRun {
  readonly rowsPerSecond: number
  readonly rowsPerCpuSecond: number
  readonly inserts: number
}

interface KillRun {
  readonly sinkKills: number
  readonly clickhouseKills: number
  readonly missing: number
  readonly doubled: number
  readonly sumDifference: number
}

const TABLE = 'features_streams'
const TOPIC = 'features.streams'
const PARTITIONS = 6
const KEYS = 2000
const FLUSH_ROWS = 100_000
const PENDING_BYTES = 8 << 20
const BASE_MS = 1_700_000_000_000
const TARGET_ROWS = 500_000
const PROGRAM = fileURLToPath(new URL('./sink-process.ts', import.meta.url))

/** Fills the topic; sums of `bytes` are whole numbers, so that they are exact. */
async function load(broker: Broker, topic: string, rows: number): Promise<number> {
  const admin = broker.admin()
  await admin.ensureTopics([{ name: topic, partitions: PARTITIONS }])
  await admin.close()
  const codec = createCodec(await knownRegistry())
  await codec.prepare([{ topic, record: 'StreamFeature' }])
  const producer = broker.producer()
  let sum = 0
  for (let i = 0; i < rows; i++) {
    const k = i % KEYS
    const start = BASE_MS + 10_000 * Math.floor(i / KEYS)
    const bytes = (i * 7919) % 1_000_000
    sum += bytes
    const row: StreamFeature = {
      stream: `stream-${k}`,
      window_start_ms: start,
      window_end_ms: start + 10_000,
      records: 1 + (i % 50),
      bytes,
      packets: 10 + (i % 90),
      bytes_per_second: bytes / 10,
      packet_bytes_mean: 512.5 + (i % 100),
      packet_bytes_p50: 480 + (i % 31),
      packet_bytes_p95: 1400 + (i % 17),
      tcp_share: 0.75,
      udp_share: 0.25,
      sources: i % 40,
      destinations: i % 30,
      incomplete: false,
      ring_bytes: [bytes / 4, bytes / 4, bytes / 2],
    }
    producer.add(
      topic,
      k % PARTITIONS,
      row.window_end_ms,
      Buffer.from(row.stream),
      codec.encode(topic, 'StreamFeature', row),
    )
    if (producer.pendingBytes > PENDING_BYTES) await producer.flush()
  }
  await producer.close()
  return sum
}

interface Done {
  readonly rows: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly metrics: SinkCounters
}

/** A sink process; `rows` is what it said last. */
function launch(options: SinkProcessOptions): {
  child: ChildProcess
  rows(): number
  done: Promise<Done | null>
} {
  const child = fork(PROGRAM, [JSON.stringify(options)])
  let rows = 0
  let done: Done | null = null
  child.on('message', (message: { rows?: number; done?: Done }) => {
    rows = message.rows ?? rows
    done = message.done ?? done
  })
  return { child, rows: () => rows, done: once(child, 'exit').then(() => done) }
}

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10))
}

async function emptyTable(warehouse: Warehouse): Promise<void> {
  await warehouse.command(`DROP TABLE IF EXISTS ${TABLE}`)
  await ensureTables(
    warehouse,
    TABLES.filter((table) => table.name === TABLE),
  )
}

async function counted(warehouse: Warehouse): Promise<{ n: number; sum: number }> {
  const [row] = await warehouse.query<{ n: number; sum: number }>(
    `SELECT count() AS n, sum(bytes) AS sum FROM ${TABLE} FINAL`,
  )
  return row ?? { n: 0, sum: 0 }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { short: { type: 'boolean' }, runs: { type: 'string' }, rows: { type: 'string' } },
  })
  const short = values.short === true
  const rows = Number(values.rows ?? (short ? 500_000 : 4_000_000))
  const runs = Number(values.runs ?? (short ? 2 : 5))
  const dataDir = mkdtempSync(join(tmpdir(), 'forestall-sink-'))
  const stack = await openLiveStack()
  let clickhouse: ClickHouseProcess | undefined
  try {
    const start = (port: number) =>
      startClickHouse({ dataDir: join(dataDir, 'data'), logFile: join(dataDir, 'log'), port })
    clickhouse = await start(0)
    const warehouse = createWarehouse({ url: clickhouse.url, attempts: 60 })
    const prefix = 'sink.'
    process.stdout.write(
      `Kafka to ClickHouse: ${rows} rows of ${TABLE}, ${PARTITIONS} partitions, lz4, blocks of ${FLUSH_ROWS} rows with tokens; ` +
        'broker, ClickHouse (embedded) and sink are three processes\n',
    )
    const sum = await load(stack.broker, `${prefix}${TOPIC}`, rows)
    const options = (groupId: string): SinkProcessOptions => ({
      broker: stack.address,
      clickhouse: clickhouse?.url ?? '',
      groupId,
      prefix,
      table: TABLE,
      flushRows: FLUSH_ROWS,
    })
    const results: SinkRun[] = []
    for (let n = 0; n < runs; n++) {
      await emptyTable(warehouse)
      const done = await launch(options(`bench-${n}`)).done
      const found = await counted(warehouse)
      if (done === null || found.n !== rows || found.sum !== sum) {
        throw new ForestallError(
          'STACK_FAILED',
          `the sink wrote ${found.n} of ${rows} rows, sum ${found.sum} of ${sum}`,
        )
      }
      const result = {
        rowsPerSecond: Math.round(rows / done.seconds),
        rowsPerCpuSecond: Math.round(rows / done.cpuSeconds),
        inserts: done.metrics.inserts,
      }
      results.push(result)
      process.stdout.write(
        `  run ${n + 1}: ${result.rowsPerSecond} rows/s, ${result.rowsPerCpuSecond} rows per CPU second of the sink, ${result.inserts} inserts of ${Math.round(done.metrics.insertMs / done.metrics.inserts)} ms\n`,
      )
    }
    const kills = await killRun()
    process.stdout.write(
      `  kill -9 of the sink (${kills.sinkKills}x) and of ClickHouse (${kills.clickhouseKills}x): ${kills.missing} rows missing, ${kills.doubled} doubled, sum differs by ${kills.sumDifference}\n`,
    )
    const median = (of: (run: SinkRun) => number) => nearestRank(sorted(results.map(of)), 0.5)
    const figure = median((run) => run.rowsPerSecond)
    const bench: SinkBench = {
      case: 'sink',
      figure,
      unit: 'rows/s',
      peer: null,
      ratio: null,
      runs: results,
      rowsPerCpuSecond: median((run) => run.rowsPerCpuSecond),
      kills,
      targets: [
        { name: 'rows/s', value: figure, target: TARGET_ROWS, met: figure >= TARGET_ROWS },
        atMost('rows missing or doubled after kills', kills.missing + kills.doubled, 0),
        atMost('difference of the sum after kills', kills.sumDifference, 0),
      ],
    }
    process.stdout.write(`${JSON.stringify(bench)}\n`)
    await warehouse.close()

    /** Kills the sink at a quarter and at three quarters, ClickHouse at a half; both come back. */
    async function killRun(): Promise<KillRun> {
      await emptyTable(warehouse)
      let sink = launch(options('bench-kill'))
      const killSink = async (): Promise<void> => {
        sink.child.kill('SIGKILL')
        await sink.done
        sink = launch(options('bench-kill'))
      }
      const port = Number(new URL(clickhouse?.url ?? '').port)
      const ended = () => sink.child.exitCode !== null
      await until(() => ended() || sink.rows() > rows / 4)
      await killSink()
      await until(() => ended() || sink.rows() > rows / 4)
      process.kill(clickhouse?.pid ?? 0, 'SIGKILL')
      clickhouse = await start(port)
      await until(() => ended() || sink.rows() > rows / 3)
      await killSink()
      await sink.done
      const found = await counted(warehouse)
      return {
        sinkKills: 2,
        clickhouseKills: 1,
        missing: Math.max(0, rows - found.n),
        doubled: Math.max(0, found.n - rows),
        sumDifference: Math.abs(found.sum - sum),
      }
    }
  } finally {
    await clickhouse?.stop()
    await stack.stop()
    rmSync(dataDir, { recursive: true, force: true })
  }
}

if (import.meta.main) await main()
