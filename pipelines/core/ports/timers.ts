import type { ManualClock } from './clock.ts'

/** A timer that can be called off. */
export interface TimerHandle {
  cancel(): void
}

/** Delays are a port like the clock: live code waits, tests move the time. */
export interface Timers {
  /** Calls `run` once after `delayMs` (ms, 0 or more; any length). */
  after(delayMs: number, run: () => void): TimerHandle
}

/** Longest delay of Node's setTimeout: longer ones would fire at once. */
const LONGEST_MS = 2 ** 31 - 1

/** Node's timers; they do not keep a process alive. */
export const systemTimers: Timers = {
  after(delayMs, run) {
    let timer: NodeJS.Timeout
    const arm = (leftMs: number): void => {
      const stepMs = Math.min(leftMs, LONGEST_MS)
      timer = setTimeout(() => (leftMs > stepMs ? arm(leftMs - stepMs) : run()), stepMs).unref()
    }
    arm(Math.max(0, delayMs))
    return { cancel: () => clearTimeout(timer) }
  },
}

/** Timers that fire while `advance` moves their clock. */
export interface ManualTimers extends Timers {
  /** Moves the clock forward, stopping at each timer that falls due, in order of time. */
  advance(ms: number): void
  /** Timers not yet fired or called off. */
  readonly pending: number
}

/** Timers on a manual clock; a timer set by a timer fires in the same `advance` if it falls due in it. */
export function manualTimers(clock: ManualClock): ManualTimers {
  const waiting = new Set<{ atMs: number; run: () => void }>()
  const nextDue = (untilMs: number) =>
    [...waiting].filter((t) => t.atMs <= untilMs).sort((a, b) => a.atMs - b.atMs)[0]
  return {
    after(delayMs, run) {
      const timer = { atMs: clock.nowMs() + Math.max(0, delayMs), run }
      waiting.add(timer)
      return { cancel: () => waiting.delete(timer) }
    },
    advance(ms) {
      const untilMs = clock.nowMs() + ms
      for (let due = nextDue(untilMs); due !== undefined; due = nextDue(untilMs)) {
        waiting.delete(due)
        clock.set(Math.max(clock.nowMs(), due.atMs))
        due.run()
      }
      clock.set(untilMs)
    },
    get pending() {
      return waiting.size
    },
  }
}

/** A wait that can be cut short. */
export interface Pause {
  wait(ms: number): Promise<void>
  /** Ends the present wait and all later ones at once. */
  end(): void
}

/** Waits on the given timers. */
export function createPause(timers: Timers): Pause {
  let ended = false
  let wakeUp = (): void => {}
  return {
    wait(ms) {
      if (ended) return Promise.resolve()
      return new Promise((resolve) => {
        const timer = timers.after(ms, resolve)
        wakeUp = () => {
          timer.cancel()
          resolve()
        }
      })
    },
    end() {
      ended = true
      wakeUp()
    },
  }
}
