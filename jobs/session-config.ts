import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  createNetwork,
  type Network,
  parseAbileneNetwork,
  trafficConfig,
  type TrafficConfig,
} from '#traffic-routing'
import type { UpArgs } from './args.ts'
import type { DemoNetwork } from './demo/scenario.ts'

const DEMO_WINDOWS_PER_DAY = 60
const REPLAY_WINDOWS_PER_DAY = 288

/** Settings of a live demo: short windows and a day of a minute, so that seasons show. */
export function demoConfig(args: UpArgs, demo: DemoNetwork, replayId: string): TrafficConfig {
  const { windowMs } = args
  return trafficConfig({
    network: createNetwork(demo.links, demo.pairs),
    windowMs,
    // Flows come up to 100 ms late.
    graceMs: Math.min(150, windowMs),
    seasons: [DEMO_WINDOWS_PER_DAY],
    publishSteps: [1, 6, 12],
    routeLifeMs: Math.max(30_000, 10 * windowMs),
    learnEvery: DEMO_WINDOWS_PER_DAY,
    idleMs: Math.max(2000, 2 * windowMs),
    criticalStreams: demo.streams.filter((s) => s.critical).map((s) => s.name),
    shards: { cap: 0.02, maxShards: 64, mergeBelow: 0.35 },
    // Half as many changes as with the defaults, and as few overloaded windows.
    churnPrice: 20,
    minGain: 0.02,
    maxShards: 512,
    replayId,
    seed: args.seed,
  })
}

/** Settings for a recorded week in intervals of 5 minutes: decisions are dated by the recording. */
export function replayConfig(network: Network, args: UpArgs, replayId: string): TrafficConfig {
  return trafficConfig({
    network,
    windowMs: args.windowMs,
    graceMs: 0,
    seasons: [REPLAY_WINDOWS_PER_DAY],
    publishSteps: [1, 12],
    draws: 12,
    routeLifeMs: 48 * args.windowMs,
    learnEvery: REPLAY_WINDOWS_PER_DAY,
    idleMs: 3_600_000,
    changesPerWindow: network.pairs,
    maxShards: 1024,
    shards: { cap: 0.004, maxShards: 64 },
    solverDeadlineMs: 1000,
    time: 'event',
    replayId,
    seed: args.seed,
  })
}

/** The network of a dataset folder of the Abilene form, in bytes per second. */
export async function datasetNetwork(folder: string): Promise<Network> {
  const read = (name: string) => readFile(join(folder, name), 'utf8')
  const network = parseAbileneNetwork(await read('nodes.csv'), await read('links.csv'))
  const bytesPerMbit = 1e6 / 8
  // Streams are named as the tabular adapter names them.
  const named = (name: string) => name.replace('->', '>')
  return {
    ...network,
    pairNames: network.pairNames.map(named),
    pathIds: network.pathIds.map(named),
    capacity: network.capacity.map((mbits) => mbits * bytesPerMbit),
  }
}
