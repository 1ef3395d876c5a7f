import type { Subsystem } from '#core/subsystem'
import type { SubsystemDemo, SubsystemDemoOptions } from './demo/subsystem-demo.ts'
import type { Evaluation } from './evaluate.ts'

/** A subsystem with its settings: what `forestall stream` runs. */
export interface Configured {
  /** Calls `use` with both, so that their types agree. */
  with<Result>(use: <Config>(subsystem: Subsystem<Config>, config: Config) => Result): Result
}

/** What the commands know of a subsystem before they load it. */
interface SubsystemEntry {
  readonly name: string
  /** Its word in `--subsystems` and in the summary of the demo. */
  readonly word: string
  /** The option that names the file with its settings. */
  readonly fileOption: string
  readonly fileHolds: string
  /** Length of its windows unless told otherwise, ms. */
  readonly windowMs: number
  /** Loads it with the settings of a file. Throws CONFIG_INVALID with file and field. */
  configure(file: string, windowMs: number, replayId: string): Promise<Configured>
  evaluation(): Promise<Evaluation>
  /** Its part of the demo, beside that of traffic-routing on which the demo rests; absent: it has none. */
  readonly demo?: {
    /** What it adds, in words. */
    readonly adds: string
    /** Throws SERVICE_MISSING where the machine cannot carry it. */
    open(options: SubsystemDemoOptions): Promise<SubsystemDemo>
  }
}

const configured = <Config>(subsystem: Subsystem<Config>, config: Config, replayId: string): Configured => ({
  with: (use) => use(subsystem, { ...config, replayId }),
})

/** Every subsystem; a further one is an entry here. Loaded when asked for: commands start without them. */
export const SUBSYSTEMS: readonly SubsystemEntry[] = [
  {
    name: 'traffic-routing',
    word: 'traffic',
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
    word: 'data',
    fileOption: 'services',
    fileHolds: 'services and their instances (docs/how-to/data-sharding.md)',
    windowMs: 900_000,
    async configure(file, windowMs, replayId) {
      const { readServicesFile } = await import('./services-file.ts')
      const { dataSharding } = await import('#data-sharding')
      return configured(dataSharding, await readServicesFile(file, windowMs), replayId)
    },
    evaluation: async () => (await import('./evaluate-data.ts')).DATA_EVALUATION,
    demo: {
      adds: 'five ClickHouse instances behind a query router',
      open: async (options) => (await import('./demo/data-subsystem.ts')).openDataSubsystem(options),
    },
  },
]

/** Words of those that the demo runs: the first always, the others unless they are left out. */
export const DEMO_WORDS: readonly string[] = SUBSYSTEMS.flatMap(({ word, demo }, i) =>
  i === 0 || demo !== undefined ? [word] : [],
)
