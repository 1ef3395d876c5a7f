import { inject } from 'vitest'
import type { Warehouse } from '#core/ports'
import { ensureTables } from '#core/warehouse'
import { createWarehouse, ensureDatabase } from '#infra/clickhouse'
import { startWeb, type WebServer, type WebStatus } from '#infra/web'
import { TABLES } from '#schemas'
import { uniqueName } from '../../support/unique.ts'
import { WINDOW_MS } from './page-data.ts'

/** A past year: the page goes by event time, so a replay is shown like the present. */
export const END_MS = Date.UTC(2024, 2, 4, 12)
/** How many windows the data of the tests has. */
export const WINDOWS = 120

/** A process that runs. */
export const status = (): WebStatus => ({
  phase: 'running',
  startedAtMs: Date.now() - 60_000,
  windowMs: WINDOW_MS,
  firstForecastAfterWindows: 24,
  parts: [{ name: 'Kafka', state: 'ready', detail: '' }],
  counters: {
    recordsIn: 12_345,
    windows: 600,
    forecasts: 2910,
    risks: 485,
    decisions: 14,
    acks: 28,
    deadLetters: 1,
    late: 0,
    lost: 0,
  },
  latencyMs: { p50: 412, p99: 1380 },
  followers: [{ id: 'haproxy-ams', state: 'live', lag: 0, held: 10, lastAckAtMs: Date.now() }],
  workers: [{ topology: 'traffic-features', tasks: ['flows-0'], watermarkMs: Date.now() }],
})

const open: { warehouse: Warehouse; database: string; web: WebServer }[] = []
/** A page on tables of its own, empty. */
export async function startWithDatabase(): Promise<{ warehouse: Warehouse; web: WebServer }> {
  const { CLICKHOUSE_USER: user, CLICKHOUSE_PASSWORD: password } = process.env
  const database = uniqueName('web')
  const credentials = {
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password }),
  }
  const options = { url: inject('clickhouseUrl'), database, ...credentials }
  await ensureDatabase(options)
  const warehouse = createWarehouse(options)
  await ensureTables(warehouse, TABLES)
  const web = await startWeb({ warehouse, status })
  open.push({ warehouse, database, web })
  return { warehouse, web }
}

/** Stops the pages and drops their tables. */
export async function stopAll(): Promise<void> {
  for (const { warehouse, database, web } of open.splice(0)) {
    await web.stop()
    await warehouse.command(`DROP DATABASE IF EXISTS ${database}`)
    await warehouse.close()
  }
}
