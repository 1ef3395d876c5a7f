import { existsSync } from 'node:fs'
import { type Browser, chromium, type Page } from 'playwright-core'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ForestallError, type Warehouse } from '#core/ports'
import { startWeb } from '#infra/web'
import { createTableWriter, STREAMS, WINDOW_MS, writePageData } from '../infra/web/page-data.ts'
import { END_MS, startWithDatabase, status, stopAll, WINDOWS } from '../infra/web/web-stack.ts'
import { failOnLeaks } from '../support/leaks.ts'

const CHROMIUM = [process.env['CHROMIUM'] ?? '', '/usr/bin/chromium', '/usr/bin/chromium-browser'].find(
  (path) => path !== '' && existsSync(path),
)
const isRequired = process.env['REQUIRE_SERVICES'] === '1'
if (CHROMIUM === undefined && !isRequired)
  console.warn('Tests of the page are skipped: no Chromium; install it or set CHROMIUM to its path.')

failOnLeaks()

let full: Awaited<ReturnType<typeof startWithDatabase>>
beforeAll(async () => {
  full = await startWithDatabase()
  await writePageData(full.warehouse, END_MS, WINDOWS)
})
afterAll(stopAll)

describe.skipIf(CHROMIUM === undefined && !isRequired)('the page in Chromium', () => {
  let browser: Browser
  let page: Page
  let problems: string[]
  beforeAll(async () => {
    browser = await chromium.launch({
      executablePath: CHROMIUM ?? '/usr/bin/chromium',
      args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking'],
    })
  })
  afterAll(() => browser.close())
  beforeEach(async () => {
    problems = []
    page = await browser.newPage({ viewport: { width: 1440, height: 900 } })
    page.on('pageerror', (error) => problems.push(error.message))
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
    page.on('request', (it) => {
      if (!it.url().startsWith('http://127.0.0.1:')) problems.push(`asks for ${it.url()}`)
    })
    return () => page.close()
  })

  /** Opaque pixels of the first canvas: lines that were drawn. */
  const drawnPixels = (): Promise<number> =>
    page.evaluate(`(() => {
      const canvas = document.querySelector('#chart canvas')
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height)
      let drawn = 0
      for (let i = 3; i < data.length; i += 4) if (data[i] > 0) drawn++
      return drawn
    })()`)

  test('shows the stream at most risk, its chart, its shards and a decision with its acks', async () => {
    await page.goto(full.web.url)
    await page.locator('#detail-title', { hasText: 'checkout' }).waitFor()
    await page.locator('#chart canvas').first().waitFor()
    await page.locator('#decisions li').first().waitFor()
    await page.locator('#shards path.arc').nth(7).waitFor()
    expect(await page.locator('#streams tbody tr').count()).toBe(STREAMS.length)
    expect(await page.locator('#detail-risk').textContent()).toMatch(/^\d+ % risk within 60 s$/)
    expect(await page.locator('#drivers li').first().textContent()).toContain('forecast to rise')
    expect(await page.locator('#decisions li').first().innerText()).toContain(
      'applied in 589 ms by haproxy-ams',
    )
    expect(await page.locator('#counters').innerText()).toContain('412 ms')
    // Axes, grid and marks alone are below 16,000.
    expect(await drawnPixels()).toBeGreaterThan(30_000)
    expect(await page.locator('#chart').getAttribute('aria-label')).toContain('Traffic of checkout')
    expect(problems).toEqual([])
  })

  test('a stream is chosen by keyboard, and the address names it', async () => {
    await page.goto(full.web.url)
    await page.locator('#detail-title', { hasText: 'checkout' }).waitFor()
    await page.locator('#streams tbody button').first().focus()
    await page.keyboard.press('ArrowDown')
    await page.locator('#detail-title:not(:has-text("checkout"))').waitFor()
    const chosen = await page.locator('#detail-title').textContent()
    expect(page.url()).toContain(`#stream=${chosen}`)
    expect(await page.locator('#streams tbody tr.selected').innerText()).toContain(chosen)
    expect(problems).toEqual([])
  })

  test('a decision explains itself', async () => {
    await page.goto(full.web.url)
    await page.locator('#decisions button').first().click()
    await page.locator('#explain[open] .facts').waitFor()
    const text = await page.locator('#explain').innerText()
    expect(text).toContain('route-4')
    expect(text).toContain('14.2 if nothing is done, 5.1 after')
    expect(problems).toEqual([])
  })

  test('names from records are text, never markup', async () => {
    const { warehouse, web } = await startWithDatabase()
    const write = createTableWriter(warehouse)
    const stream = '<img src=x onerror=alert(1)>'
    const value = { ...emptyFeature, stream }
    await write('features_streams', 'features.streams', [{ key: stream, timestampMs: END_MS, value }])
    await page.goto(web.url)
    await page.locator('#detail-title', { hasText: stream }).waitFor()
    expect(await page.locator('img').count()).toBe(0)
    expect(await page.locator('#chart-empty').textContent()).toBe(
      'First forecast after 24 windows of 10 s; 1 have closed.',
    )
    expect(problems).toEqual([])
  })

  test('an empty stack says what is awaited', async () => {
    const { web } = await startWithDatabase()
    await page.goto(web.url)
    await page.locator('#streams-empty', { hasText: 'after its first window of 10 s' }).waitFor()
    await page.locator('#decisions', { hasText: 'No decision yet' }).waitFor()
    expect(problems).toEqual([])
  })

  test('a ClickHouse that goes away is said, with what to do; the page recovers by itself', async () => {
    let isAway = false
    const query: Warehouse['query'] = (sql, params) =>
      isAway
        ? Promise.reject(new ForestallError('WAREHOUSE_UNAVAILABLE', 'ClickHouse is away'))
        : full.warehouse.query(sql, params)
    const web = await startWeb({ warehouse: { ...full.warehouse, query }, status })
    await page.goto(web.url)
    await page.locator('#chart canvas').first().waitFor()
    isAway = true
    await page.locator('#alert:not([hidden])', { hasText: 'Check CLICKHOUSE_URL' }).waitFor()
    expect(await page.locator('#streams tbody tr').count()).toBe(STREAMS.length)
    isAway = false
    await page.locator('#alert[hidden]').waitFor({ state: 'attached' })
    await web.stop()
  })
})

const emptyFeature = {
  window_start_ms: END_MS - WINDOW_MS,
  window_end_ms: END_MS,
  records: 1,
  bytes: 10,
  packets: 1,
  bytes_per_second: 1,
  packet_bytes_mean: 10,
  packet_bytes_p50: 10,
  packet_bytes_p95: 10,
  tcp_share: 1,
  udp_share: 0,
  sources: 1,
  destinations: 1,
  incomplete: false,
}
