import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { randomBytes } from 'node:crypto'
import { ForestallError } from '#core/ports'
import { createWarehouse, startClickHouse } from '#infra/clickhouse'
import { countRows, emptyTable, launchSink, loadRows, SINK_TABLE, SINK_TOPIC } from './sink-input.ts'
import { benchBroker } from './windows-broker.ts'

/** A sink whose warehouse stood still for a while. */
export interface StalledSinkRun {
  readonly rows: number
  readonly rowsFound: number
  /** Bound of the rows that wait, bytes; and the most that waited. */
  readonly bound: number
  readonly bufferedBytes: number
  readonly pauses: number
  /** Most memory of the sink. */
  readonly rssBytes: number
}

const BOUND = 4 << 20
const FLUSH_ROWS = 5000
/** What waits has not changed for so long: nothing more is read. */
const STILL_MS = 1000

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await delay(5)
}

async function untilStill(of: () => number, ended: () => boolean): Promise<void> {
  let [last, sinceMs] = [of(), performance.now()]
  while (!ended() && performance.now() - sinceMs < STILL_MS) {
    await delay(5)
    if (of() !== last) [last, sinceMs] = [of(), performance.now()]
  }
}

/** Stops ClickHouse (SIGSTOP) in the middle of a copy until the sink has stopped reading, and lets it go on. */
export async function stallSink(options: {
  readonly brokers: string
  readonly rows: number
  readonly print: (line: string) => void
}): Promise<StalledSinkRun> {
  const { brokers, rows, print } = options
  const dataDir = mkdtempSync(join(tmpdir(), 'forestall-bounded-'))
  const broker = benchBroker(brokers)
  const clickhouse = await startClickHouse({ dataDir: join(dataDir, 'data'), logFile: join(dataDir, 'log') })
  const prefix = `bench-${randomBytes(5).toString('hex')}.`
  const topic = `${prefix}${SINK_TOPIC}`
  try {
    const warehouse = createWarehouse({ url: clickhouse.url })
    await emptyTable(warehouse)
    await loadRows(broker, topic, rows)
    const sink = launchSink({
      broker: brokers,
      clickhouse: clickhouse.url,
      groupId: `${prefix}sink`,
      prefix,
      table: SINK_TABLE,
      flushRows: FLUSH_ROWS,
      maxBufferedBytes: BOUND,
    })
    const ended = () => sink.child.exitCode !== null
    await until(() => ended() || sink.news().rows > 0)
    process.kill(clickhouse.pid, 'SIGSTOP')
    await untilStill(() => sink.news().waitingBytes, ended)
    process.kill(clickhouse.pid, 'SIGCONT')
    const done = await sink.done
    if (done === null) throw new ForestallError('STACK_FAILED', 'the sink ended too early')
    const { bufferedBytes, pauses } = sink.news()
    const { n: rowsFound } = await countRows(warehouse)
    await warehouse.close()
    const { rssBytes } = done
    const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1)
    print(
      `ClickHouse stood still: ${mib(bufferedBytes)} of at most ${mib(BOUND)} MiB waited, process ${mib(rssBytes)} MiB, ` +
        `${pauses} pauses; ${rowsFound} of ${rows} rows found`,
    )
    return { rows, rowsFound, bound: BOUND, bufferedBytes, pauses, rssBytes }
  } finally {
    await clickhouse.stop()
    const admin = broker.admin()
    await admin.deleteTopics([topic])
    await broker.close()
    rmSync(dataDir, { recursive: true, force: true })
  }
}
