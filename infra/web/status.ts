/** A part of the stack: Kafka, ClickHouse, the registry, a pipeline, a data plane. */
export interface PartStatus {
  readonly name: string
  /** For example `starting`, `ready`, `failed`, `stopped`. */
  readonly state: string
  /** What it does, or why it does not, in words. */
  readonly detail: string
}

/** What has flowed since the start, in records (`windows`: closed windows of streams). */
export interface WebCounters {
  readonly recordsIn: number
  readonly windows: number
  readonly forecasts: number
  readonly risks: number
  readonly decisions: number
  readonly acks: number
  readonly deadLetters: number
  readonly late: number
  /** Records that a count from end to end found missing; absent if nobody counts. */
  readonly lost?: number
  /** Records found twice; absent if nobody counts. */
  readonly duplicated?: number
}

/** A data plane that follows decisions. */
export interface FollowerStatus {
  readonly id: string
  /** For example `live`, `catching_up`, `detached`. */
  readonly state: string
  /** Records of its decision topics not yet read. */
  readonly lag: number
  /** Decisions it holds. */
  readonly held: number
  /** Null: none sent yet. */
  readonly lastAckAtMs: number | null
}

/** A process that runs tasks of a topology. */
export interface WorkerStatus {
  readonly topology: string
  readonly tasks: readonly string[]
  /** Event time up to which its windows are closed; null before the first record. */
  readonly watermarkMs: number | null
}

/** Data-sharding, as the router in front of the instances sees it. */
export interface DataStatus {
  readonly service: string
  /** Of the query router. */
  readonly url: string
  readonly instances: readonly {
    readonly name: string
    readonly up: boolean
    readonly inFlight: number
    /** Segments whose rows it holds. */
    readonly segments: number
    readonly queriesPerSecond: number
    /** Queries that it has answered. */
    readonly queries: number
  }[]
  readonly queries: number
  readonly errors: number
  /** Rows written. */
  readonly rows: number
  /** Reads with the token of a write, and those that did not see it. */
  readonly checks: number
  readonly violations: number
  /** Records of the router's own log that were given up. */
  readonly logDropped: number
  /** Decisions about segments that were put into force, and that were refused. */
  readonly applied: number
  readonly refused: number
  /** Moves of segments that were switched, and that failed. */
  readonly moved: number
  readonly movesFailed: number
  /** Null before the first decision. */
  readonly instancesWanted: number | null
  /** Instances that were started for a decision while it ran. */
  readonly instancesStarted: number
  /** Median of the largest load over the mean, of late: as routed, and as hashing alone would have spread the same queries. */
  readonly maxOverMean: number | null
  readonly maxOverMeanHashed: number | null
  readonly latencyMs: { readonly p50: number | null; readonly p99: number | null }
}

/** What the process behind the page knows of itself; the rest of the page is read from ClickHouse. */
export interface WebStatus {
  /** For example `starting`, `warming up`, `running`, `stopping`. */
  readonly phase: string
  readonly startedAtMs: number
  /** Length of the shortest window. */
  readonly windowMs: number
  /** Windows that a series needs before its first forecast: what an empty chart says it waits for. */
  readonly firstForecastAfterWindows?: number
  readonly parts: readonly PartStatus[]
  readonly counters: WebCounters
  /** From the event (or the end of its window) to the acknowledgement; null before the first. */
  readonly latencyMs: { readonly p50: number | null; readonly p99: number | null }
  readonly followers: readonly FollowerStatus[]
  readonly workers: readonly WorkerStatus[]
  /** Absent where data-sharding does not run. */
  readonly data?: DataStatus
}
