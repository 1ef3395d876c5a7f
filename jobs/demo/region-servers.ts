import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock, Random } from '#core/ports'
import type { World } from './world.ts'

/** HTTP servers on the loopback interface, one per region, that answer as slowly and as badly as the region does. */
export interface RegionServers {
  /** `host:port` of a region. */
  addressOf(region: string): string
  close(): Promise<void>
}

/** Slower answers are cut off here: a request load must not pile up. */
const SLOWEST_MS = 300

/** Starts one server per region of the world; `loadOf`: bytes/s that a region serves. */
export async function startRegionServers(
  world: World,
  clock: Clock,
  random: Random,
  loadOf: (region: string) => number,
): Promise<RegionServers> {
  const servers = new Map<string, Server>()
  for (const [index, { name }] of world.network.regions.entries()) {
    const server = createServer((_request, response) => {
      const { up, rttMs, errorRatio } = world.region(index, clock.nowMs(), loadOf(name))
      const failed = !up || random.uniform() < errorRatio
      setTimeout(
        () => response.writeHead(failed ? 503 : 200, { 'x-region': name }).end(name),
        Math.min(rttMs, SLOWEST_MS),
      )
    })
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(0, '127.0.0.1', resolve)
    })
    servers.set(name, server)
  }
  return {
    addressOf(region) {
      const server = servers.get(region)
      if (server === undefined) throw new RangeError(`There is no server of region ${region}.`)
      return `127.0.0.1:${(server.address() as AddressInfo).port}`
    },
    async close() {
      for (const server of servers.values()) {
        server.closeAllConnections()
        await new Promise((resolve) => server.close(resolve))
      }
    },
  }
}
