import type { DecisionInput } from '../../../schemas/index.ts'

/** All rows of one time step, sorted by partition and offset within each input. */
export interface Round {
  /** End of the time step, ms since 1970. */
  readonly timeMs: number
  /** Rows by the name of the input. */
  readonly rows: Readonly<Record<string, readonly unknown[]>>
  /** The last offset of each input partition that went in. */
  readonly inputs: readonly DecisionInput[]
  /** True while a restart replays rounds whose output stands already: outputs are dropped. */
  readonly replayed: boolean
}

/** Takes the outputs of a round. */
export interface RoundOutput {
  /** Emits a record (or a tombstone) to an output of the node; the key decides the partition. */
  emit(output: string, key: string, value: object | null): void
}

/**
 * State that lives from round to round. It must be a function of the rounds it saw (and of what it reads back in
 * `live`), because a restart restores the last snapshot and replays the rounds since.
 */
export interface RoundProcessor {
  onRound(round: Round, out: RoundOutput): void | Promise<void>
  /** The whole state as bytes. */
  snapshot(): Uint8Array
  restore(bytes: Uint8Array): void
  /** Called once when the replay is over: read back what stands outside (decisions). */
  live?(): Promise<void>
}
