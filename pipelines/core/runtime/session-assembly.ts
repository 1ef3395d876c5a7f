import type { AggregatePlan } from './aggregate-columns.ts'
import { END_OF_INPUT_MS } from './marks.ts'
import { ReplayLog, type ReplayPoint } from './replay-log.ts'
import { type SessionShape, sliceMsOf } from './session-shape.ts'
import { SessionStore, type TakeSession } from './session-store.ts'
import { WindowStore } from './window-store.ts'

/** Room of a point of the replay log, without its state. */
const POINT_BYTES = 100

/**
 * Puts sessions together from slices: tumbling windows that are short against the gap. Slices take records in any order
 * until nothing can come to them any more; from then on all is in the order of time. `State` is what a replay needs to
 * know of time where it begins.
 */
export class SessionAssembly<State> {
  readonly slices: WindowStore
  readonly #shape: SessionShape
  readonly #sliceMs: number
  readonly #sessions: SessionStore
  readonly #log = new ReplayLog<State>()
  readonly #stateBytes: number
  #settledMs = Number.NEGATIVE_INFINITY
  /** Start of the slice of the last record. */
  #seenMs = Number.NEGATIVE_INFINITY
  /** The earliest event time that open sessions rest on. */
  #restsOnMs = Number.POSITIVE_INFINITY
  #incompleteBeforeMs = Number.NEGATIVE_INFINITY
  /** False: what becomes final was emitted before the commit. */
  #isLive = false

  constructor(
    shape: SessionShape,
    graceMs: number,
    plan: AggregatePlan,
    stateBytes: number,
    take: TakeSession,
  ) {
    this.#shape = shape
    this.#sliceMs = sliceMsOf(shape)
    this.#stateBytes = stateBytes
    this.slices = new WindowStore({ sizeMs: this.#sliceMs, advanceMs: this.#sliceMs, graceMs }, plan)
    this.#sessions = new SessionStore(shape, plan, (table, slot, startMs, endMs, incomplete) => {
      // A session may go on before what is missing, if that was less than a gap away.
      const lacks = incomplete || startMs - shape.gapMs < this.#incompleteBeforeMs
      if (this.#isLive) take(table, slot, startMs, endMs, lacks)
    })
  }

  /** Slices that end at or before this have been put together. */
  get settledMs(): number {
    return this.#settledMs
  }

  /** Sessions that begin or end at or before this have been emitted. */
  get emittedMs(): number {
    if (this.#settledMs >= END_OF_INPUT_MS) return this.#settledMs
    return this.#settledMs - this.#shape.gapMs - this.#shape.maxLengthMs - 1
  }

  /** Bytes held. */
  get bytes(): number {
    return this.slices.bytes + this.#sessions.bytes + this.#log.size * (POINT_BYTES + this.#stateBytes)
  }

  flush(): void {
    this.slices.flush()
  }

  /** True if nothing of the slice that an event at `timeMs` belongs to has been seen: then `begin` it. */
  isNew(timeMs: number): boolean {
    if (timeMs >= this.#seenMs && timeMs < this.#seenMs + this.#sliceMs) return false
    const startMs = Math.floor(timeMs / this.#sliceMs) * this.#sliceMs
    if (!this.#log.has(startMs)) return true
    this.#seenMs = startMs
    return false
  }

  /** The first record of a slice has been taken in, at this offset and in this state. */
  begin(timeMs: number, offset: number, state: State): void {
    this.#log.begin(Math.floor(timeMs / this.#sliceMs) * this.#sliceMs, offset, state)
  }

  /** What a restart knows: where its replay begins, slices that end at or before `settledMs` have been put together. */
  resume(settledMs: number): void {
    this.#settledMs = settledMs
  }

  /** Input before `beforeMs` (event time) may be missing. */
  lost(beforeMs: number): void {
    this.#incompleteBeforeMs = beforeMs
  }

  /** True if a session that may lack something from before `beforeMs` has not been emitted yet. */
  opensBefore(beforeMs: number): boolean {
    return Number.isFinite(beforeMs) && this.emittedMs < beforeMs + this.#shape.gapMs
  }

  /** From now on what becomes final is emitted. */
  goLive(): void {
    this.#isLive = true
  }

  /** Puts the slices that end at or before `throughMs` together, and emits what is final then. */
  async advance(throughMs: number): Promise<void> {
    if (!(throughMs > this.#settledMs)) return
    await this.slices.close(this.#settledMs, throughMs, async (slice, startMs) => {
      slice.incomplete ||= startMs < this.#incompleteBeforeMs
      await this.#sessions.fold(slice)
    })
    await this.#sessions.close(throughMs)
    this.#settledMs = throughMs
    this.#restsOnMs = this.#sessions.restsOnMs
    const { gapMs, maxLengthMs } = this.#shape
    this.#seenMs = Number.NEGATIVE_INFINITY
    this.#log.forget(throughMs - maxLengthMs - 1 - 2 * gapMs - 2 * this.#sliceMs)
  }

  /** Where the replay of what is open begins; undefined if nothing is. */
  replayPoint(): ReplayPoint<State> | undefined {
    if (this.#sessions.size === 0 && this.slices.size === 0) return undefined
    const fromMs = Math.min(this.#restsOnMs, this.#settledMs)
    return this.#log.from(Math.floor(fromMs / this.#sliceMs) * this.#sliceMs)
  }
}
