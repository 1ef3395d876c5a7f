import type { Clock } from '#core/ports'
import type { Worker } from '#core/runtime'
import type { FollowerStatus, PartStatus, WebStatus } from '#infra/web'
import type { PipelineConnections, Pipelines } from '../open-pipelines.ts'

/** What the part of a subsystem in the demo is opened with. */
export interface SubsystemDemoOptions {
  readonly connections: PipelineConnections
  readonly prefix: string
  readonly replayId: string
  /** A folder of its own. */
  readonly folder: string
  /** Length of the windows of the demo, ms. */
  readonly windowMs: number
  readonly seed: number
  readonly clock: Clock
  readonly onWarning: (error: Error) => void
  readonly onFatal: (error: Error) => void
}

/** A subsystem in the demo, on the stack that traffic-routing runs on: its pipelines, its data plane, its load. */
export interface SubsystemDemo {
  readonly workers: Pipelines['workers']
  metrics: Pipelines['metrics']
  /** Begins the load. */
  begin(): void
  /** Parts that it adds to the stack, for the page. */
  parts(): readonly PartStatus[]
  followers(): readonly FollowerStatus[]
  /** Its own keys of what the page is told. */
  status(): Partial<WebStatus>
  /** What it does now, in a line for the terminal. */
  line(): string
  /** Ends the load, lets the pipelines take in all of it, and counts what there is to count. */
  drain(untilFlushed: (workers: Iterable<readonly [string, Worker]>) => Promise<void>): Promise<void>
  /** After `drain`. */
  account(): SubsystemAccount
  stop(): Promise<void>
}

/** What a run came to. */
export interface SubsystemAccount {
  /** A key of the summary that the demo prints as JSON. */
  readonly summary: object
  /** The same for people. */
  readonly lines: readonly string[]
  /** False if anything was lost, duplicated or counted wrongly; `details` say what. */
  readonly sound: boolean
  readonly details: readonly string[]
}
