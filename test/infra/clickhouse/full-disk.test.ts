import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isError } from '#core/ports'
import { type ClickHouseProcess, createWarehouse, startClickHouse } from '#infra/clickhouse'
import { failOnLeaks } from '../../support/leaks.ts'
import { until } from '../../support/until.ts'

failOnLeaks()

const dir = mkdtempSync(join(tmpdir(), 'forestall-full-disk-'))
let clickhouse: ClickHouseProcess
/** From here on no file of the process may grow beyond so many bytes: writes fail, as on a full disk. */
const PRLIMIT = 'prlimit'
const limit = (bytes: string): void =>
  void execFileSync(PRLIMIT, ['--pid', String(clickhouse.pid), `--fsize=${bytes}:unlimited`])

const start = () => startClickHouse({ dataDir: join(dir, 'data'), logFile: join(dir, 'clickhouse.log') })
/** Once the process that was killed has let go of its files. */
const startAgain = () => until(start, { what: 'a second start' })

beforeAll(async () => {
  clickhouse = await start()
})
afterAll(async () => {
  await clickhouse.stop()
  rmSync(dir, { recursive: true, force: true })
})

// prlimit (util-linux) changes the limits of a running process; there is nothing like it elsewhere.
describe.skipIf(process.platform !== 'linux')('a full disk', () => {
  test('is an error that passes, for inserts, answers and DDL; what was refused can be sent again', async () => {
    const warehouse = createWarehouse({ url: clickhouse.url, attempts: 1 })
    await warehouse.command(
      'CREATE TABLE t (n UInt32) ENGINE = MergeTree ORDER BY n SETTINGS non_replicated_deduplication_window = 100',
    )
    const rows = Buffer.alloc(4000)
    const insert = () => warehouse.insertRowBinary('t', ['n'], rows, { token: 'x' })
    const answers: string[] = []
    const select = () => warehouse.query(`SELECT '${'x'.repeat(1000)}' AS text`)
    const alter = () => warehouse.command('ALTER TABLE t ADD COLUMN x UInt8')
    for (const bytes of ['0', '100', '1000']) {
      limit(bytes)
      for (const attempt of [insert, select, alter]) {
        const answer = await attempt().then(
          () => 'none',
          (error: unknown) =>
            isError(error, 'WAREHOUSE_UNAVAILABLE') ? error.message : `other: ${String(error)}`,
        )
        answers.push(answer.replace(/.*(NOT_ENOUGH_SPACE).*/s, '$1'))
      }
    }
    expect(new Set(answers)).toEqual(new Set(['NOT_ENOUGH_SPACE']))
    limit('unlimited')
    await insert()
    await insert()
    const counted = [{ n: 1000 }]
    expect(await warehouse.query('SELECT count() AS n FROM t')).toEqual(counted)
    process.kill(clickhouse.pid, 'SIGKILL')
    await warehouse.close()
    // What the engine was asked to do on the full disk has not damaged its files.
    clickhouse = await startAgain()
    const after = createWarehouse({ url: clickhouse.url })
    expect(await after.query('SELECT count() AS n FROM t')).toEqual(counted)
    await after.close()
  })
})
