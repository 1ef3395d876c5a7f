import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RouteBody } from '#schemas'
import { type Clock, type DecisionApplier, mulberry32, type Timers } from '#core/ports'
import { createHaproxyApplier, findHaproxy, type HaproxyApplier, startHaproxy } from '#infra/haproxy'
import { freePort } from '#infra/local'
import { type RequestReport, startHttpLoad } from './http-load.ts'
import { type RegionServers, startRegionServers } from './region-servers.ts'
import type { DemoNetwork } from './scenario.ts'
import type { World } from './world.ts'

/** A real HAProxy before real HTTP servers, with requests through it. */
export interface HaproxyPlane {
  readonly applier: DecisionApplier<RouteBody>
  /** The port that carries a stream. */
  portOf(stream: string): number | null
  health(): ReturnType<HaproxyApplier['health']>
  requests(): RequestReport
  stop(): Promise<void>
}

/** Settings of a HAProxy of the demo. */
export interface HaproxyPlaneOptions {
  readonly world: World
  readonly clock: Clock
  readonly seed: number
  readonly requestsPerSecond: number
  readonly loadOf: (region: string) => number
  readonly timers?: Timers
  readonly onWarning?: (error: Error) => void
}

/** Above this many streams those of a site share a backend. */
const MOST_BACKENDS = 24
/** The safe default: everything to the home region. */
const HOME_WEIGHT = 100

/** Letters that HAProxy does not take in names become `_`. */
const haproxyName = (name: string): string => name.replaceAll(/[^\w.:-]/g, '_')

/** Which backend and port carries which stream. */
interface Layout {
  readonly backendOf: (stream: string) => string | null
  /** Region that a backend serves from by default. */
  readonly homes: ReadonlyMap<string, string>
  readonly ports: ReadonlyMap<string, number>
}

async function planLayout({ streams }: DemoNetwork): Promise<Layout> {
  const share = streams.length > MOST_BACKENDS
  const backends = new Map(streams.map((s) => [s.name, haproxyName(share ? s.site : s.name)]))
  const homes = new Map(streams.map((s) => [backends.get(s.name) ?? '', s.homeRegion]))
  const ports = new Map<string, number>()
  for (const backend of homes.keys()) ports.set(backend, await freePort([...ports.values()]))
  return { backendOf: (stream) => backends.get(stream) ?? null, homes, ports }
}

/** The configuration: per backend a listener, and one server per region. */
function haproxyConfig({ homes, ports }: Layout, network: DemoNetwork, servers: RegionServers) {
  return {
    frontends: [...ports].map(([backend, port]) => ({ name: `in_${backend}`, port, backend })),
    backends: [...homes].map(([name, home]) => ({
      name,
      servers: network.regions.map((region) => ({
        name: haproxyName(region.name),
        address: servers.addressOf(region.name),
        weight: region.name === home ? HOME_WEIGHT : 0,
      })),
    })),
  }
}

/** Starts servers, HAProxy and requests. Throws SERVICE_MISSING if HAProxy is not installed, STACK_FAILED if it does not start. */
export async function startHaproxyPlane(options: HaproxyPlaneOptions): Promise<HaproxyPlane> {
  const { world, clock, seed, loadOf, requestsPerSecond, timers, onWarning } = options
  const binary = findHaproxy()
  const random = mulberry32(seed)
  // The folder is short whatever the user's is: the path of a socket must stay below 100 bytes.
  const dataDir = await mkdtemp(join(tmpdir(), 'forestall-haproxy-'))
  const closers: (() => Promise<unknown>)[] = [() => rm(dataDir, { recursive: true, force: true })]
  const stop = async (): Promise<void> => {
    for (const close of closers.splice(0).toReversed()) await close()
  }
  try {
    const servers = await startRegionServers(world, clock, random, loadOf)
    closers.push(() => servers.close())
    const layout = await planLayout(world.network)
    const haproxy = await startHaproxy({ dataDir, binary, ...haproxyConfig(layout, world.network, servers) })
    closers.push(() => haproxy.stop())
    const { backendOf } = layout
    const given = {
      ...(timers === undefined ? {} : { timers }),
      ...(onWarning === undefined ? {} : { onWarning }),
    }
    const applier = createHaproxyApplier({
      socketPath: haproxy.socketPath,
      backendOf,
      serverOf: haproxyName,
      ...given,
    })
    applier.start()
    closers.push(() => applier.stop())
    const portOf = (stream: string): number | null => layout.ports.get(backendOf(stream) ?? '') ?? null
    const nextPort = (): number => portOf(pickStream(world, clock.nowMs(), random.uniform())) ?? 0
    const load = startHttpLoad({ requestsPerSecond, nextPort, ...given })
    closers.push(() => load.stop())
    return { applier, portOf, health: () => applier.health(), requests: () => load.report(), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** A stream by its present share of the traffic. */
function pickStream(world: World, atMs: number, u: number): string {
  const { streams } = world.network
  const rates = streams.map((_, k) => world.demand(k, atMs))
  let left = u * rates.reduce((sum, rate) => sum + rate, 0)
  const at = rates.findIndex((rate) => (left -= rate) < 0)
  return streams[Math.max(0, at)]?.name ?? ''
}
