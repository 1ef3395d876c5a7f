import type { Clock } from '../ports/index.ts'

/** How long a commit waits for the rest of an answer. */
const GATHER_MS = 4
/** Ticks further apart than this were not on time. */
const BLIND_AFTER_MS = 1000

/** What ticks need. */
export interface TicksOptions {
  readonly clock: Clock
  readonly everyMs: number
  /** How old the last answer of a broker may become before one is asked (only sources fall silent). */
  readonly contactEveryMs: number
  /** Runs work after all that came before, and before all that follows. */
  exclusive(work: () => Promise<void>): Promise<void>
  /** False: there is nothing to do in this tick. */
  ready(): boolean
  /** Asks a broker for something; waits for it, and fails in the end. */
  touch(): Promise<void>
  /** `blindMs` of the time since the last tick nothing could have been seen. */
  onTick(nowMs: number, blindMs: number): Promise<void>
  onFailed(error: Error): void
}

/**
 * The wall clock of a worker: idleness and commits. Silence of a source means nothing while the broker does not
 * answer, or after a time in which this process stood still.
 */
export class Ticks {
  readonly #o: TicksOptions
  #timer: NodeJS.Timeout | undefined
  #soon: NodeJS.Timeout | undefined
  #queued = false
  #tickedMs = 0
  #contactMs = 0

  constructor(options: TicksOptions) {
    this.#o = options
  }

  start(): void {
    this.#timer = setInterval(() => this.#queue(), this.#o.everyMs)
    this.#timer.unref()
  }

  /** The batches of one answer come one after another, and what they close belongs together: one commit, not one each. */
  soon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined
      this.#queue()
    }, GATHER_MS)
  }

  /** A broker has answered what was asked then. */
  heard(atMs: number): void {
    this.#contactMs = Math.max(this.#contactMs, atMs)
  }

  end(): void {
    clearInterval(this.#timer)
    clearTimeout(this.#soon)
  }

  #queue(): void {
    if (this.#queued) return
    this.#queued = true
    void this.#o
      .exclusive(() => this.#tick())
      .finally(() => {
        this.#queued = false
      })
  }

  async #tick(): Promise<void> {
    const { clock } = this.#o
    const nowMs = clock.nowMs()
    const sinceMs = nowMs - this.#tickedMs
    this.#tickedMs = nowMs
    if (!this.#o.ready()) return
    try {
      if (nowMs - this.#contactMs >= this.#o.contactEveryMs) {
        await this.#o.touch()
        this.heard(clock.nowMs())
      }
      if (clock.nowMs() - nowMs > BLIND_AFTER_MS) return
      // A process that stood still, or waited for a broker that was gone, cannot say that nothing came.
      await this.#o.onTick(nowMs, sinceMs > BLIND_AFTER_MS ? sinceMs : 0)
    } catch (error) {
      this.#o.onFailed(error as Error)
    }
  }
}
