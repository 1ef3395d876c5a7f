import { createPause, isError, systemTimers } from '../ports/index.ts'

const RETRY_MS = 500

/** Another process has taken this worker's place: going on would fence it in turn. */
export const isFenced = (error: unknown): error is Error =>
  isError(error, 'PRODUCER_FENCED') || isError(error, 'INSTANCE_FENCED')

/** What a recovery needs. */
export interface RecoveryOptions {
  /** Undoes what is not committed and joins the group anew; calls `mended` once errors count again. */
  rejoin(): Promise<void>
  onFatal(error: Error): void
  onWarning(error: Error): void
}

/** After a failure: undo and join again until it works. One recovery at a time, however many failures. */
export class Recovery {
  readonly #o: RecoveryOptions
  readonly #pause = createPause(systemTimers)
  #broken = false
  #ended = false
  #running: Promise<void> | undefined
  #lastMs = Number.NEGATIVE_INFINITY

  constructor(options: RecoveryOptions) {
    this.#o = options
  }

  /** True while what is held may not be what stands in Kafka: nothing is processed or committed. */
  get broken(): boolean {
    return this.#broken
  }

  /** Something failed. Fenced: the end; else a recovery begins. */
  failed(error: Error): void {
    if (this.#ended) return
    if (isFenced(error)) return this.#o.onFatal(error)
    if (!this.#broken && !isError(error, 'GENERATION_STALE')) this.#o.onWarning(error)
    this.#broken = true
    // One at a time: a failure while it joins makes the loop go round again.
    this.#running ??= this.#recover()
  }

  mended(): void {
    this.#broken = false
  }

  /** No recovery goes on after its present step. */
  end(): void {
    this.#ended = true
    this.#pause.end()
  }

  async done(): Promise<void> {
    await this.#running
  }

  async #recover(): Promise<void> {
    while (this.#broken && !this.#ended) {
      try {
        // What fails again at once (a bad topology, a poisoned state) must not turn the group over and over.
        if (performance.now() - this.#lastMs < RETRY_MS) await this.#pause.wait(RETRY_MS)
        await this.#o.rejoin()
      } catch (error) {
        this.#broken = true
        if (isFenced(error)) this.#o.onFatal(error)
        else if (!this.#isEnded()) this.#o.onWarning(error as Error)
      }
      this.#lastMs = performance.now()
    }
    // In the same turn as the last look at `broken`: a failure that follows begins a recovery of its own.
    this.#running = undefined
  }

  #isEnded(): boolean {
    return this.#ended
  }
}
