import type { NetworkFault } from '#infra/relay'

/** Whom a fault of a broker is aimed at; of several brokers it is found out when the fault is due. */
export type BrokerRole = 'any' | 'leader' | 'group coordinator' | 'transaction coordinator' | 'controller'

/** What is done to a running system. `draw` picks among whatever there is then. */
export type Harm =
  | { readonly kind: 'kill worker' | 'stop worker'; readonly slot: string }
  | { readonly kind: 'kill broker' | 'stop broker'; readonly role: BrokerRole; readonly draw: number }
  | { readonly kind: 'kill clickhouse' | 'disk full' | 'registry down' }
  | {
      readonly kind: 'network'
      /** Whose connections: those of a worker to Kafka, or those of all workers to another part. */
      readonly between: NetworkPlace
      readonly fault: NetworkFault
    }

/** A stretch of network: a worker's connections to one broker (from 1; 0: to all), or those to another part. */
export type NetworkPlace =
  | { readonly part: 'kafka'; readonly slot: string; readonly node: number }
  | { readonly part: 'clickhouse' | 'registry' }

/** One fault: it begins `gapMs` after the one before it in its lane has healed, and heals after `forMs`. */
export type Fault = Harm & {
  readonly gapMs: number
  readonly forMs: number
  /** The gap begins only once the worker streams; else a kill may meet a worker that is still starting. */
  readonly settled?: boolean
}

/** Faults that follow one another; those of different lanes overlap. */
export interface Lane {
  readonly name: string
  readonly faults: readonly Fault[]
}

/** How a run is made up. */
export interface ChaosPlan {
  readonly seed: number
  readonly brokers: 1 | 3
  readonly slots: readonly string[]
  readonly lanes: readonly Lane[]
  /** The load runs at least for this long, and until all lanes are over, ms. */
  readonly leastLoadMs: number
}

/** `kill -9` of a process: what a run is measured by. */
export const isKill = ({ kind }: Harm): boolean =>
  kind === 'kill worker' || kind === 'kill broker' || kind === 'kill clickhouse'

/** Kills of a plan. */
export const killsOf = (plan: ChaosPlan): number =>
  plan.lanes.reduce((sum, { faults }) => sum + faults.filter(isKill).length, 0)
