import type { Subsystem } from '#core/subsystem'
import type { Evaluation } from './evaluate.ts'

/** A subsystem with its settings: what `forestall stream` runs. */
export interface Configured {
  /** Calls `use` with both, so that their types agree. */
  with<Result>(use: <Config>(subsystem: Subsystem<Config>, config: Config) => Result): Result
}

/** What the commands know of a subsystem before they load it. */
interface SubsystemEntry {
  readonly name: string
  /** The option that names the file with its settings. */
  readonly fileOption: string
  readonly fileHolds: string
  /** Length of its windows unless told otherwise, ms. */
  readonly windowMs: number
  /** Loads it with the settings of a file. Throws CONFIG_INVALID with file and field. */
  configure(file: string, windowMs: number, replayId: string): Promise<Configured>
  evaluation(): Promise<Evaluation>
}

const configured = <Config>(subsystem: Subsystem<Config>, config: Config, replayId: string): Configured => ({
  with: (use) => use(subsystem, { ...config, replayId }),
})

/** Every subsystem; a further one is an entry here. Loaded when asked for: commands start without them. */
export const SUBSYSTEMS: readonly SubsystemEntry[] = [
  {
    name: 'traffic-routing',
    fileOption: 'network',
    fileHolds: 'links, streams and their candidate paths (docs/how-to/network-file.md)',
    windowMs: 1000,
    async configure(file, windowMs, replayId) {
      const { readNetworkFile } = await import('./network-file.ts')
      const { trafficRouting } = await import('#traffic-routing')
      return configured(trafficRouting, await readNetworkFile(file, windowMs), replayId)
    },
    evaluation: async () => (await import('./evaluate-traffic.ts')).TRAFFIC_EVALUATION,
  },
  {
    name: 'data-sharding',
    fileOption: 'services',
    fileHolds: 'services and their instances (docs/how-to/data-sharding.md)',
    windowMs: 900_000,
    async configure(file, windowMs, replayId) {
      const { readServicesFile } = await import('./services-file.ts')
      const { dataSharding } = await import('#data-sharding')
      return configured(dataSharding, await readServicesFile(file, windowMs), replayId)
    },
    evaluation: async () => (await import('./evaluate-data.ts')).DATA_EVALUATION,
  },
]
