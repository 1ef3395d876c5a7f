import { writeFile } from 'node:fs/promises'
import { demoNetwork, type DemoNetwork } from '../demo/scenario.ts'

/**
 * Longer than any outage that a run makes. A source that a dead broker silences looks like one that has nothing to
 * say; were it taken for idle, others would close windows without it, and its records would come late.
 */
const IDLE_MS = 600_000
const WINDOWS_PER_DAY = 60

/** Writes the network of the demo as a file for `forestall stream --network`, and returns the network. */
export async function writeDemoNetwork(file: string): Promise<DemoNetwork> {
  const demo = demoNetwork()
  const linkName = (index: number): string => demo.links[index]?.name ?? ''
  const content = {
    links: demo.links.map(({ name, capacity, latencyMs }) => ({
      name,
      capacityBytesPerSecond: capacity,
      latencyMs,
    })),
    streams: demo.streams.map((stream, i) => ({
      name: stream.name,
      critical: stream.critical,
      paths: (demo.pairs[i]?.paths ?? []).map(({ region, links }) => ({
        region,
        links: links.map(linkName),
      })),
    })),
    settings: {
      graceMs: 250,
      idleMs: IDLE_MS,
      seasons: [WINDOWS_PER_DAY],
      learnEvery: WINDOWS_PER_DAY,
      routeLifeMs: 30_000,
      // Workers are behind most of the time here, and what they decide then is to be judged as well.
      staleWindows: 3600,
      maxShards: 512,
      shards: { cap: 0.02, maxShards: 64 },
    },
  }
  await writeFile(file, JSON.stringify(content, null, 2))
  return demo
}
