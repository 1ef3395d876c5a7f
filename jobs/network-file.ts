import { z } from 'zod'
import { ForestallError } from '#core/ports'
import {
  createNetwork,
  type LinkSpec,
  type PairSpec,
  type TrafficConfig,
  trafficConfig,
} from '#traffic-routing'
import { COMMON_SETTINGS, givenIn, readSettingsFile } from './settings-file.ts'

const Link = z.strictObject({
  name: z.string().min(1),
  capacityBytesPerSecond: z.number().positive(),
  latencyMs: z.number().min(0),
})
const Stream = z.strictObject({
  name: z.string().min(1),
  critical: z.boolean().optional(),
  limitBytesPerSecond: z.number().positive().optional(),
  paths: z.array(z.strictObject({ region: z.string().min(1), links: z.array(z.string()).min(1) })).min(1),
})
/** Settings of TrafficConfig that a file may give; what is left out keeps its default. */
const Settings = z
  .strictObject({
    ...COMMON_SETTINGS,
    seasons: z.array(z.int().min(2)),
    horizon: z.int().positive(),
    publishSteps: z.array(z.int().positive()),
    draws: z.int().positive(),
    regionRttLimitMs: z.number().positive(),
    maxShards: z.int().positive(),
    churnPrice: z.number().min(0),
    minGain: z.number().min(0),
    routeLifeMs: z.number().positive(),
    staleWindows: z.number().positive(),
    changesPerWindow: z.int().positive(),
    learnEvery: z.int().positive(),
    historyWindows: z.int().positive(),
    solverDeadlineMs: z.number().positive(),
    shards: z
      .strictObject({
        cap: z.number().positive(),
        riskShrink: z.number(),
        criticalMinDepth: z.int(),
        minRegions: z.int(),
        maxShards: z.int(),
        mergeBelow: z.number(),
      })
      .partial(),
  })
  .partial()
const NetworkFile = z.strictObject({
  links: z.array(Link).min(1),
  streams: z.array(Stream).min(1),
  settings: Settings.optional(),
})

type Parsed = z.infer<typeof NetworkFile>

/** Names are keys of decisions and features: two of the same name would be taken for one. */
function checkNames(file: string, field: string, named: readonly { readonly name: string }[]): void {
  const names = named.map(({ name }) => name)
  const again = names.find((name, i) => names.indexOf(name) < i)
  if (again === undefined) return
  throw new ForestallError('CONFIG_INVALID', `${file}: ${field} has '${again}' twice`, {
    cure: `Give every entry of "${field}" in ${file} a name of its own.`,
  })
}

function pairsOf(file: string, { links, streams }: Parsed): PairSpec[] {
  const index = new Map(links.map((link, i) => [link.name, i]))
  const linkOf = (stream: string, name: string): number => {
    const found = index.get(name)
    if (found !== undefined) return found
    throw new ForestallError(
      'CONFIG_INVALID',
      `${file}: stream ${stream} uses link '${name}', which is not in links`,
      {
        cure: `Add the link to "links" in ${file}, or name one of ${[...index.keys()].slice(0, 8).join(', ')}.`,
      },
    )
  }
  return streams.map(({ name, paths }) => ({
    name,
    paths: paths.map((path) => ({
      region: path.region,
      links: path.links.map((link) => linkOf(name, link)),
    })),
  }))
}

/**
 * Reads what to route over what: links (bytes per second, ms), streams with their candidate paths (default first) and
 * settings. Throws CONFIG_INVALID naming file, field and cure, or POLICY_CONTRADICTS.
 */
export async function readNetworkFile(file: string, windowMs: number): Promise<TrafficConfig> {
  const parsed = await readSettingsFile(file, NetworkFile, 'docs/how-to/network-file.md')
  const { links, streams, settings = {} } = parsed
  checkNames(file, 'links', links)
  checkNames(file, 'streams', streams)
  const specs: LinkSpec[] = links.map(({ name, capacityBytesPerSecond, latencyMs }) => ({
    name,
    capacity: capacityBytesPerSecond,
    latencyMs,
  }))
  const limits = streams.flatMap((s) =>
    s.limitBytesPerSecond === undefined ? [] : [[s.name, s.limitBytesPerSecond] as const],
  )
  return trafficConfig({
    ...(givenIn(settings) as Partial<TrafficConfig>),
    network: createNetwork(specs, pairsOf(file, parsed)),
    windowMs,
    criticalStreams: streams.filter((s) => s.critical === true).map((s) => s.name),
    streamLimits: Object.fromEntries(limits),
  })
}
