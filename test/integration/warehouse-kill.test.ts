import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { compileCell, RowBytes } from '#core/warehouse'
import { createWarehouse, startClickHouse } from '#infra/clickhouse'
import { failOnLeaks } from '../support/leaks.ts'

failOnLeaks()
const dir = mkdtempSync(join(tmpdir(), 'forestall-kill-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const ROWS = 5000
const BLOCKS = 40
const KILLS = 3

function block(number: number): Uint8Array {
  const out = new RowBytes()
  const write = compileCell('UInt64')
  for (let i = 0; i < ROWS; i++) write(out, number * ROWS + i)
  return out.bytes()
}

test('a ClickHouse killed during inserts has every acknowledged block, and none twice after a retry', async () => {
  const exits: (NodeJS.Signals | null)[] = []
  const start = (port: number) => {
    const onExit = (_: number | null, signal: NodeJS.Signals | null) => exits.push(signal)
    return startClickHouse({ dataDir: join(dir, 'data'), logFile: join(dir, 'log'), port, onExit })
  }
  let host = await start(0)
  const { url } = host
  const port = Number(new URL(url).port)
  const warehouse = createWarehouse({ url, attempts: 60 })
  await warehouse.command(
    'CREATE TABLE t (a UInt64) ENGINE = ReplacingMergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 1000, fsync_after_insert = 1',
  )
  const acknowledged = new Set<number>()
  let next = 0
  const writer = async () => {
    for (let n = next++; n < BLOCKS; n = next++) {
      await warehouse.insertRowBinary('t', ['a'], block(n), { token: `block ${n}` })
      acknowledged.add(n)
      for (const wake of waiting.splice(0)) wake()
    }
  }
  const waiting: (() => void)[] = []
  const acknowledgedBlocks = async (n: number) => {
    while (acknowledged.size < n) await new Promise<void>((resolve) => waiting.push(resolve))
  }
  const writers = Promise.all([writer(), writer(), writer()])

  for (let k = 1; k <= KILLS; k++) {
    await acknowledgedBlocks(Math.floor((k * BLOCKS) / (KILLS + 1)))
    const before = [...acknowledged]
    process.kill(host.pid, 'SIGKILL')
    host = await start(port)
    const found = await warehouse.query<{ n: number }>(
      `SELECT intDiv(a, ${ROWS}) AS n, uniqExact(a) AS u FROM t GROUP BY n HAVING u = ${ROWS}`,
    )
    const complete = new Set(found.map((row) => row.n))
    expect(before.filter((n) => !complete.has(n))).toEqual([])
  }
  await writers
  const [sums] = await warehouse.query('SELECT count() AS n, uniqExact(a) AS u, max(a) AS m FROM t FINAL')
  const all = BLOCKS * ROWS
  expect(sums).toEqual({ n: all, u: all, m: all - 1 })
  expect(exits).toEqual(Array.from({ length: KILLS }, () => 'SIGKILL'))
  await warehouse.close()
  await host.stop()
})
