import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createTableWriter, STREAMS, WINDOW_MS, writePageData } from '../infra/web/page-data.ts'
import { END_MS, startWithDatabase, stopAll, WINDOWS } from '../infra/web/web-stack.ts'
import { failOnLeaks } from '../support/leaks.ts'

failOnLeaks()

let full: Awaited<ReturnType<typeof startWithDatabase>>
beforeAll(async () => {
  full = await startWithDatabase()
  await writePageData(full.warehouse, END_MS, WINDOWS)
})
afterAll(stopAll)

async function get<T>(path: string, base = full.web.url): Promise<T> {
  const response = await fetch(base + path)
  if (!response.ok) throw new Error(await response.text())
  return (await response.json()) as T
}

describe('the API on ClickHouse', () => {
  interface Stream {
    stream: string
    atMs: number
    bytesPerSecond: number
    spark: number[]
    windows: number
    forecast: { q10: number; q50: number; q90: number; horizonMs: number } | null
    risk: { probability: number; drivers: string[]; limit: number } | null
    regions: { region: string; weight: number }[]
    owner: string
  }

  test('streams: worst first, each with its newest window, forecast, risk and regions', async () => {
    const { newestMs, total, streams } = await get<{ newestMs: number; total: number; streams: Stream[] }>(
      '/api/streams',
    )
    expect([newestMs, total]).toEqual([END_MS, STREAMS.length])
    expect(streams.map((it) => it.stream).toSorted()).toEqual([...STREAMS].toSorted())
    const [first] = streams
    expect(first).toMatchObject({ stream: 'checkout', atMs: END_MS, windows: WINDOWS, owner: 'fra' })
    expect(first?.spark.at(-1)).toBe(first?.bytesPerSecond)
    expect(first?.risk?.probability).toBeGreaterThan(0.5)
    expect(first?.risk?.drivers[0]).toContain('forecast to rise')
    expect(first?.forecast?.q10).toBeLessThan(first?.forecast?.q90 ?? 0)
    expect(first?.regions).toEqual([
      { region: 'fra', weight: 0.4 },
      { region: 'ams', weight: 0.35 },
      { region: 'lhr', weight: 0.25 },
    ])
  })

  test('series: a forecast lies at the time it was made for, the newest one beyond the last window', async () => {
    interface Columns {
      tMs: number[]
      q025: number[]
      q50: number[]
      q975: number[]
    }
    const series = await get<{
      toMs: number
      stepMs: number
      horizons: number[]
      horizonMs: number
      actual: { tMs: number[]; value: number[] }
      forecast: Columns
      outlook: Columns & { issuedAtMs: number }
      risk: { tMs: number[] }
      limit: number
    }>(`/api/series?stream=checkout&spanMs=600000&horizonMs=50000`)
    expect(series).toMatchObject({ toMs: END_MS, stepMs: WINDOW_MS, horizonMs: 50_000, limit: 4.8e6 })
    expect(series.horizons).toEqual([1, 2, 3, 4, 5, 6].map((it) => it * WINDOW_MS))
    expect(series.actual.tMs).toHaveLength(60)
    expect([series.actual.tMs[0], series.actual.tMs.at(-1)]).toEqual([END_MS - 590_000, END_MS])
    expect(series.forecast.tMs.at(-1)).toBe(END_MS + 50_000)
    expect(series.outlook).toMatchObject({ issuedAtMs: END_MS })
    expect(series.outlook.tMs).toEqual(series.horizons.map((it) => END_MS + it))
    expect(series.risk.tMs.at(-1)).toBe(END_MS)
    const [row] = await full.warehouse.query<{ q50: number }>(
      `SELECT q50 FROM forecasts_traffic WHERE entity = 'checkout' AND horizon_ms = 50000
        AND target_ms = fromUnixTimestamp64Milli({at:Int64})`,
      { at: END_MS },
    )
    expect(series.forecast.q50[series.forecast.tMs.indexOf(END_MS)]).toBe(row?.q50)
  })

  test('a record written twice counts once', async () => {
    const count = async () =>
      (
        await full.warehouse.query<{ n: number }>(
          "SELECT count() AS n FROM features_streams WHERE stream = 'search'",
        )
      )[0]?.n
    const before = await get<{ actual: { value: number[] } }>('/api/series?stream=search&spanMs=65000')
    expect([await count(), before.actual.value.length]).toEqual([WINDOWS, 7])
    await full.warehouse.command(
      "INSERT INTO features_streams SELECT * FROM features_streams FINAL WHERE stream = 'search'",
    )
    expect(await count()).toBe(2 * WINDOWS)
    const after = await get<{ actual: { value: number[] } }>('/api/series?stream=search&spanMs=65001')
    expect(after.actual.value).toEqual(before.actual.value)
  })

  test('shards lie in the order of the ring with the region of the standing route', async () => {
    const { decision, shards } = await get<{
      decision: { decisionId: string; expired: boolean }
      shards: { prefix: number; region: string; critical: boolean }[]
    }>('/api/shards?stream=checkout')
    expect(decision).toMatchObject({ decisionId: 'cut-2', expired: true })
    expect(shards.map((it) => it.prefix)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    expect(new Set(shards.map((it) => it.region))).toEqual(new Set(['ams', 'fra', 'lhr']))
  })

  test('decisions: renewals only if asked for; each says what changes and who applied it when', async () => {
    interface Decision {
      decisionId: string
      change: string
      renewal: boolean
      acks: { follower: string; state: string; delayMs: number }[]
    }
    const list = async (query: string) =>
      (await get<{ decisions: Decision[] }>(`/api/decisions?stream=checkout${query}`)).decisions
    const decisions = await list('')
    expect(decisions.map((it) => it.decisionId)).toEqual(['route-4', 'route-3', 'cut-2', 'route-1', 'cut-1'])
    expect(decisions[0]?.change).toBe('ams 50 % → 35 % · fra 30 % → 40 % · lhr 20 % → 25 %')
    expect(decisions[2]?.change).toBe('4 → 8 shards')
    expect(decisions[0]?.acks.map((it) => [it.follower, it.state, it.delayMs]).toSorted()).toEqual([
      ['haproxy-ams', 'applied', 589],
      ['sdk-edge-1', 'applied', 687],
    ])
    const all = await list('&renewals=1')
    expect(all.filter((it) => it.renewal).map((it) => it.decisionId)).toEqual(['route-2'])
    expect(await list('&limit=2')).toHaveLength(2)
  })

  test('one decision in full, the dead letters, the regions and the routes', async () => {
    expect(await get('/api/decision/route-4')).toMatchObject({
      decisionId: 'route-4',
      costNow: 14.2,
      inputs: [{ topic: 'risks.traffic', offset: 41 }],
      body: { stream: 'checkout' },
      acks: [{ state: 'applied' }, { state: 'applied' }],
    })
    expect(await get('/api/dead-letters')).toMatchObject({
      counts: [{ topic: 'telemetry.flows', code: 'RECORD_INVALID', count: 1 }],
      deadLetters: [{ offset: 7731, reason: 'bytes: -1 is below 0' }],
    })
    expect(await get('/api/regions')).toMatchObject({ regions: [{ region: 'ams', rttMs: 11 }, {}, {}] })
    const { routes } = await get<{ routes: { stream: string }[] }>('/api/routes')
    expect(routes.map((it) => it.stream)).toEqual([...STREAMS].toSorted())
    expect(await get('/health')).toEqual({ phase: 'running', warehouse: 'ready' })
  })

  test('a withdrawn decision stands no more and is shown as the way back to the default', async () => {
    const { warehouse, web } = await startWithDatabase()
    await writePageData(warehouse, END_MS, 30)
    const write = createTableWriter(warehouse, 1_000_000)
    const tombstone = { key: 'video-eu', timestampMs: END_MS + 1, value: null }
    await write('decisions', 'decisions.traffic.routes', [tombstone])
    const { routes } = await get<{ routes: { stream: string }[] }>('/api/routes', web.url)
    expect(routes.map((it) => it.stream)).not.toContain('video-eu')
    const { decisions } = await get<{ decisions: unknown[] }>('/api/decisions?limit=1', web.url)
    expect(decisions).toMatchObject([
      {
        stream: 'video-eu',
        tombstone: true,
        change: 'back to the default',
        issuedAtMs: END_MS + 1,
        acks: [],
      },
    ])
  })
})
