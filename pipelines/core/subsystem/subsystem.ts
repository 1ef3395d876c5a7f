import type { ForecastTables } from '#core/forecasting'
import type { BodiesOf, DecisionOutputs, Standing } from '#core/decisions'
import type { Clock, LinearSolver, RemoteLinearSolver } from '#core/ports'
import type { Topology } from '#core/runtime'

/** The parts of a subsystem, in the order of the flow: each is a consumer group, and a process runs one or all. */
export const PARTS = ['features', 'forecasts', 'decisions'] as const

/** See `PARTS`. */
export type Part = (typeof PARTS)[number]

/** How linear programs are solved: in this thread, and where there is one, on its own thread with a deadline. */
export interface Solvers {
  readonly inline: LinearSolver
  readonly remote?: RemoteLinearSolver
}

/** What the topologies of any subsystem need of the world. */
export interface SubsystemDeps {
  readonly clock: Clock
  /** Calendar and champions. */
  readonly tables: ForecastTables
  /** What stands in the topics that the subsystem decides in. */
  readonly readStanding: <Outputs extends DecisionOutputs>(
    outputs: Outputs,
  ) => Promise<Standing<BodiesOf<Outputs>>>
  /** Loads the solvers; the process that runs the topologies closes them. */
  readonly solvers: () => Promise<Solvers>
  /** Told after every round of decisions, with its time. */
  readonly onRound?: (timeMs: number) => void
}

/** What a subsystem's `index.ts` exports of it: all that a process needs to run it. */
export interface Subsystem<Config> {
  /** As in commands and decisions. */
  readonly name: string
  topologies(config: Config, deps: SubsystemDeps): Promise<Readonly<Record<Part, Topology>>>
  /** Partitions of the topics that have as many as the settings say; the others have what schemas/topics.ts declares. */
  partitions(config: Config): Readonly<Record<string, number>>
}
