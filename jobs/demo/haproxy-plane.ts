import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RouteBody } from '#schemas'
import { type Clock, type DecisionApplier, mulberry32, type Timers } from '#core/ports'
import { createHaproxyApplier, findHaproxy, type HaproxyApplier, startHaproxy } from '#infra/haproxy'
import { freePort } from '#infra/local'
import { type HttpLoad, type RequestReport, startHttpLoad } from './http-load.ts'
import { startRegionServers } from './region-servers.ts'
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

/** Starts servers, HAProxy and requests. Throws SERVICE_MISSING if HAProxy is not installed, STACK_FAILED if it does not start. */
export async function startHaproxyPlane(options: HaproxyPlaneOptions): Promise<HaproxyPlane> {
  const { world, clock, seed, loadOf, timers, onWarning } = options
  const { streams, regions } = world.network
  const binary = findHaproxy()
  const random = mulberry32(seed)
  // The folder is short whatever the user's is: the path of a socket must stay below 100 bytes.
  const dataDir = await mkdtemp(join(tmpdir(), 'forestall-haproxy-'))
  const closers: (() => Promise<unknown>)[] = [() => rm(dataDir, { recursive: true, force: true })]
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).toReversed()) await one()
  }
  try {
    const servers = await startRegionServers(world, clock, random, loadOf)
    closers.push(() => servers.close())
    const backendOf = (s: { name: string; site: string }): string =>
      haproxyName(streams.length > MOST_BACKENDS ? s.site : s.name)
    const byStream = new Map(streams.map((s) => [s.name, backendOf(s)]))
    const homes = new Map(streams.map((s) => [backendOf(s), s.homeRegion]))
    const ports = new Map<string, number>()
    for (const backend of homes.keys()) ports.set(backend, await freePort([...ports.values()]))
    const haproxy = await startHaproxy({
      dataDir,
      binary,
      frontends: [...ports].map(([backend, port]) => ({ name: `in_${backend}`, port, backend })),
      backends: [...homes].map(([name, home]) => ({
        name,
        servers: regions.map((r) => ({
          name: haproxyName(r.name),
          address: servers.addressOf(r.name),
          weight: r.name === home ? HOME_WEIGHT : 0,
        })),
      })),
    })
    closers.push(() => haproxy.stop())
    const applier = createHaproxyApplier({
      socketPath: haproxy.socketPath,
      backendOf: (stream) => byStream.get(stream) ?? null,
      serverOf: haproxyName,
      ...(timers === undefined ? {} : { timers }),
      ...(onWarning === undefined ? {} : { onWarning }),
    })
    applier.start()
    closers.push(() => applier.stop())
    const portOf = (stream: string): number | null => ports.get(byStream.get(stream) ?? '') ?? null
    const load: HttpLoad = startHttpLoad({
      requestsPerSecond: options.requestsPerSecond,
      nextPort: () => portOf(pickStream(world, clock.nowMs(), random.uniform())) ?? 0,
      ...(timers === undefined ? {} : { timers }),
    })
    closers.push(() => load.stop())
    return { applier, portOf, health: () => applier.health(), requests: () => load.report(), stop: close }
  } catch (error) {
    await close()
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
