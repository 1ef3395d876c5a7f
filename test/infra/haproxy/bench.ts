import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, createServer, get, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isError } from '#core/ports'
import { findHaproxy, type HaproxyProcess, startHaproxy } from '#infra/haproxy'

/** Why HAProxy cannot be tested here; '' if it can. With REQUIRE_SERVICES=1 a missing HAProxy fails the run. */
export function haproxyMissing(): string {
  try {
    findHaproxy()
    return ''
  } catch (e) {
    if (!isError(e, 'SERVICE_MISSING') || process.env['REQUIRE_SERVICES'] === '1') throw e
    return `${e.message} ${e.cure}`
  }
}

/** HTTP servers named by region behind a real HAProxy. */
export interface HaproxyBench {
  haproxy: HaproxyProcess
  port: number
  addressOf: (region: string) => string
  /** The region that answered each of `count` requests, `parallel` at a time. */
  requests(count: number, parallel?: number): Promise<Map<string, number>>
  /** A request that its backend holds until `release`. */
  hold(): Promise<{ region: string; release(): void; answer: Promise<string> }>
  close(): Promise<void>
}

/** Starts one HTTP server per region and HAProxy with one backend `be` of the `configured` ones. */
export async function startBench(
  regions: string[],
  configured: Record<string, number>,
): Promise<HaproxyBench> {
  const held: { region: string; release(): void }[] = []
  const waiters: ((h: { region: string; release(): void }) => void)[] = []
  const servers = new Map<string, Server>()
  for (const region of regions) {
    const server = createServer((request, response) => {
      const release = (): void => void response.end(region)
      if (request.url !== '/hold') release()
      else (waiters.shift() ?? ((h) => held.push(h)))({ region, release })
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    servers.set(region, server)
  }
  const addressOf = (region: string): string =>
    `127.0.0.1:${((servers.get(region) as Server).address() as AddressInfo).port}`
  const dataDir = await mkdtemp(join(tmpdir(), 'haproxy-'))
  const port = await unusedPort()
  const haproxy = await startHaproxy({
    dataDir,
    frontends: [{ name: 'front', port, backend: 'be' }],
    backends: [
      {
        name: 'be',
        servers: Object.entries(configured).map(([name, weight]) => ({
          name,
          weight,
          address: addressOf(name),
        })),
      },
    ],
  })
  const agent = new Agent({ keepAlive: false })
  const request = (path: string): Promise<string> =>
    new Promise((resolve, reject) => {
      get({ host: '127.0.0.1', port, path, agent }, (response) => {
        let text = ''
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString()
        })
        response.on('end', () =>
          response.statusCode === 200 ? resolve(text) : reject(new Error(`status ${response.statusCode}`)),
        )
      }).on('error', reject)
    })
  return {
    haproxy,
    port,
    addressOf,
    async requests(count, parallel = 8) {
      const seen = new Map<string, number>()
      let left = count
      await Promise.all(
        Array.from({ length: parallel }, async () => {
          while (left-- > 0) {
            const region = await request('/')
            seen.set(region, (seen.get(region) ?? 0) + 1)
          }
        }),
      )
      return seen
    },
    async hold() {
      const arrived = new Promise<{ region: string; release(): void }>((resolve) => waiters.push(resolve))
      const answer = request('/hold')
      answer.catch(() => undefined)
      return { ...(await arrived), answer }
    },
    async close() {
      await haproxy.stop()
      for (const server of servers.values()) {
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
      }
      await rm(dataDir, { recursive: true })
    },
  }
}

async function unusedPort(): Promise<number> {
  const server = createTcpServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}
