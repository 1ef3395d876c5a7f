import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTcpServer, type AddressInfo, type Server as NetServer } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import {
  createRegionProber,
  type RegionProber,
  type RegionProberConfig,
} from '../../../../infra/adapters/index.ts'
import { createProbeHistory } from '../../../../infra/adapters/probes/history.ts'
import { manualClock } from '../../../../pipelines/core/ports/index.ts'

const closing: (() => void)[] = []
afterEach(() => {
  for (const close of closing.splice(0)) close()
})

async function listen(server: NetServer): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

async function serve(handler: RequestListener): Promise<{ url: string; server: Server }> {
  const server = createServer(handler)
  const port = await listen(server)
  closing.push(() => {
    server.close()
    server.closeAllConnections()
  })
  return { url: `http://127.0.0.1:${port}/health`, server }
}

function prober(config: Omit<RegionProberConfig, 'origin'>): RegionProber {
  const made = createRegionProber({ origin: 'here', ...config })
  closing.push(() => made.close())
  return made
}

describe('createRegionProber', () => {
  it('measures a region that answers, and takes its load from the JSON body', async () => {
    const { url } = await serve((_request, response) => {
      response.setHeader('content-type', 'application/json')
      response.end('{"bytes_per_second":5e6,"capacity_bytes_per_second":1e9,"price_per_gb":"free"}')
    })
    const probes = prober({
      regions: [{ region: 'fra', url, capacityBytesPerSecond: 1, pricePerGb: 0.02 }],
      clock: manualClock(1234),
    })
    const [probe] = await probes.probe()
    expect(probe).toMatchObject({
      event_time_ms: 1234,
      origin: 'here',
      region: 'fra',
      up: true,
      jitter_ms: 0,
      loss_ratio: 0,
      error_ratio: 0,
      bytes_per_second: 5e6,
      capacity_bytes_per_second: 1e9,
      price_per_gb: 0.02,
    })
    expect(probe?.rtt_ms).toBeGreaterThan(0)
    expect(probe?.rtt_ms).toBeLessThan(1000)
  })

  it('tells slow from fast, errors from silence, over one connection', async () => {
    let connections = 0
    const answers = [200, 503, 200, 404]
    let served = 0
    const { url, server } = await serve((_request, response) => {
      response.statusCode = answers[served++ % answers.length] ?? 500
      setTimeout(() => response.end(), 40)
    })
    server.on('connection', () => connections++)
    const probes = prober({ regions: [{ region: 'slow', url }] })
    const rounds = [
      await probes.probe(),
      await probes.probe(),
      await probes.probe(),
      await probes.probe(),
    ].flat()
    expect(rounds.map((p) => p.error_ratio)).toEqual([0, 1 / 2, 1 / 3, 1 / 2])
    expect(rounds.every((p) => p.up && p.rtt_ms >= 39)).toBe(true)
    expect(rounds[0]?.jitter_ms).toBe(0)
    expect(rounds[3]?.jitter_ms).toBeGreaterThan(0)
    expect(connections).toBe(1)
  })

  it('counts refused and silent regions as lost, without holding up the others', async () => {
    const silent = await serve(() => undefined)
    const gone = await serve(() => undefined)
    gone.server.close()
    const fine = await serve((_request, response) => response.end())
    const probes = prober({
      timeoutMs: 60,
      regions: [silent, gone, fine].map(({ url }, i) => ({ region: `r${i}`, url })),
    })
    const first = await probes.probe()
    expect(first.map((p) => [p.up, p.loss_ratio])).toEqual([
      [false, 1],
      [false, 1],
      [true, 0],
    ])
    expect(first[0]?.rtt_ms).toBe(60)
  })

  it('does not blame a region for a kept connection that its server closed', async () => {
    const { url, server } = await serve((_request, response) => response.end())
    const probes = prober({ regions: [{ region: 'r', url }] })
    await probes.probe()
    server.closeAllConnections()
    expect(await probes.probe()).toMatchObject([{ up: true, loss_ratio: 0 }])
  })

  it('measures the handshake of tcp targets', async () => {
    const server = createTcpServer((socket) => socket.on('error', () => undefined))
    const port = await listen(server)
    closing.push(() => server.close())
    const probes = prober({ regions: [{ region: 'r', url: `tcp://127.0.0.1:${port}` }] })
    expect(await probes.probe()).toMatchObject([{ up: true, error_ratio: 0 }])
  })

  it('goes round until told to stop', async () => {
    const { url } = await serve((_request, response) => response.end())
    const stop = new AbortController()
    const seen: string[] = []
    const regions = ['a', 'b'].map((region) => ({ region, url }))
    for await (const probe of prober({ regions, intervalMs: 10 }).watch(stop.signal)) {
      seen.push(probe.region)
      if (seen.length === 6) stop.abort()
    }
    expect(seen).toEqual(['a', 'b', 'a', 'b', 'a', 'b'])
  })

  it('refuses targets it cannot probe', () => {
    for (const url of ['ftp://x', 'nowhere', 'tcp://host']) {
      expect(() => prober({ regions: [{ region: 'r', url }] })).toThrow(`Region r: ${url} is not`)
    }
  })
})

describe('createProbeHistory', () => {
  const answer = (rttMs: number, failed = false) => ({ rttMs, failed, load: {} })

  it('takes jitter, loss and errors over the last probes only', () => {
    const history = createProbeHistory(3)
    expect(history.add(null)).toEqual({ jitterMs: 0, lossRatio: 1, errorRatio: 0 })
    expect(history.add(answer(10))).toEqual({ jitterMs: 0, lossRatio: 0.5, errorRatio: 0 })
    expect(history.add(answer(20, true))).toMatchObject({ jitterMs: 5, errorRatio: 0.5 })
    expect(history.add(answer(30))).toEqual({ jitterMs: 20 / 3, lossRatio: 0, errorRatio: 1 / 3 })
  })
})
