import type { AggregatePlan } from './aggregate-columns.ts'
import { END_OF_INPUT_MS } from './marks.ts'
import type { Row } from './row.ts'
import { SessionAssembly } from './session-assembly.ts'
import { type SessionShape, sliceMsOf } from './session-shape.ts'
import type { TaskContext } from './task.ts'
import type { RowWriter, SourceSink } from './window-sink.ts'

/** Bytes of a watermark. */
const STATE_BYTES = 8

/**
 * Sessions where all records of a key are in one partition: the source's task puts them together itself. Its replay goes
 * through the watermarks that its records had, so that what was late is late again.
 */
export class SessionSink implements SourceSink {
  readonly store: SourceSink['store']
  readonly #assembly: SessionAssembly<number>
  readonly #keySlot: number
  readonly #rows: RowWriter
  readonly #closesAfterMs: number
  /** Watermark of the replay, and that of the commit at which it ends. */
  #replayedMs = Number.NEGATIVE_INFINITY
  #resumedMs = Number.NEGATIVE_INFINITY
  #isLive = false

  constructor(
    shape: SessionShape,
    plan: AggregatePlan,
    keySlot: number,
    context: TaskContext,
    rows: RowWriter,
  ) {
    this.#keySlot = keySlot
    this.#rows = rows
    this.#closesAfterMs = sliceMsOf(shape) + shape.graceMs
    const assembly = new SessionAssembly<number>(
      shape,
      shape.graceMs,
      plan,
      STATE_BYTES,
      (table, slot, startMs, endMs, incomplete) => {
        rows.write(table, slot, startMs, endMs, incomplete)
        context.counters.windows++
      },
    )
    this.#assembly = assembly
    this.store = {
      get bytes() {
        return assembly.bytes
      },
      flush: () => assembly.flush(),
      replayFrom: (otherwise) => Math.min(otherwise, assembly.replayPoint()?.offset ?? otherwise),
    }
  }

  add(timeMs: number, row: Row, offset: number, watermarkMs: number): boolean {
    if (!this.#assembly.slices.add(timeMs, row, this.#keySlot, offset, watermarkMs)) return false
    if (this.#assembly.isNew(timeMs)) this.#assembly.begin(timeMs, offset, watermarkMs)
    return true
  }

  replay(timeMs: number, row: Row, offset: number): void {
    if (timeMs > this.#replayedMs) this.#replayedMs = timeMs
    this.add(timeMs, row, offset, this.#replayedMs)
  }

  isBehind(timeMs: number): boolean {
    return timeMs >= this.closesNextAtMs
  }

  async catchUp(timeMs: number): Promise<void> {
    this.#replayedMs = Math.max(this.#replayedMs, timeMs)
    await this.#assembly.advance(this.#assembly.slices.closesThroughMs(this.#replayedMs))
  }

  replayMs(otherwise: number): number {
    return this.#assembly.replayPoint()?.state ?? otherwise
  }

  get closesNextAtMs(): number {
    const { settledMs } = this.#assembly
    return settledMs >= END_OF_INPUT_MS ? Number.POSITIVE_INFINITY : settledMs + this.#closesAfterMs
  }

  resume(watermarkMs: number, replayMs: number): void {
    this.#resumedMs = watermarkMs
    this.#replayedMs = replayMs
    this.#assembly.resume(this.#assembly.slices.closesThroughMs(replayMs))
  }

  lostInput(beforeMs: number): void {
    this.#assembly.lost(beforeMs)
  }

  opensBefore(beforeMs: number): boolean {
    return this.#assembly.opensBefore(beforeMs)
  }

  async advance(watermarkMs: number, announce: boolean): Promise<boolean> {
    await this.#goLive()
    const throughMs = this.#assembly.slices.closesThroughMs(watermarkMs)
    const closes = throughMs > this.#assembly.settledMs
    if (closes) await this.#assembly.advance(throughMs)
    if (closes || announce) this.#rows.mark(this.#assembly.emittedMs, false)
    return closes || announce
  }

  /** The replay has ended, if not at the watermark of the commit (what had raised it is gone), then there. */
  async #goLive(): Promise<void> {
    if (this.#isLive) return
    this.#isLive = true
    await this.#assembly.advance(this.#assembly.slices.closesThroughMs(this.#resumedMs))
    this.#assembly.goLive()
  }

  tellIdle(): void {
    this.#rows.mark(this.#assembly.emittedMs, true)
  }
}
