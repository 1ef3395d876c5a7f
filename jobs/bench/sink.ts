import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { atMost, nearestRank, sorted, type Target } from '#core/evaluation'
import { ForestallError } from '#core/ports'
import { type ClickHouseProcess, createWarehouse, startClickHouse } from '#infra/clickhouse'
import { openLiveStack } from './live-stack.ts'
import {
  launchSink as launch,
  SINK_TABLE as TABLE,
  SINK_TOPIC as TOPIC,
  SINK_PARTITIONS as PARTITIONS,
  countRows as counted,
  emptyTable,
  loadRows as load,
} from './sink-input.ts'
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

const FLUSH_ROWS = 100_000
const TARGET_ROWS = 500_000

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 10))
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
      await until(() => ended() || sink.news().rows > rows / 4)
      await killSink()
      await until(() => ended() || sink.news().rows > rows / 4)
      process.kill(clickhouse?.pid ?? 0, 'SIGKILL')
      clickhouse = await start(port)
      await until(() => ended() || sink.news().rows > rows / 3)
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
