import { mulberry32, type Picker, type Random } from '#core/ports'
import { plainTwoChoices } from '../../../jobs/bench/router-two-choices.ts'
import {
  createExpectedWork,
  createHedgeBudget,
  createInstancePicker,
} from '../../../pipelines/data-sharding/router/index.ts'

/** A load in virtual time: queries at random moments on instances that serve several at once. */
export interface Simulated {
  readonly seed: number
  readonly instances: number
  readonly perSecond: number
  readonly seconds: number
  /** Mean time of a query, ms (between half and three times of it, as far as luck goes). */
  readonly serviceMs: number
  /** Queries an instance serves at the same time; the others wait. */
  readonly places: number
  /** What is added to an answer of an instance at a time, ms. */
  readonly delayMs: (instance: number, atMs: number) => number
  readonly picker: 'ours' | 'two choices'
  readonly hedge: boolean
}

interface Event {
  readonly atMs: number
  readonly run: () => void
}

/** Latencies, ms, and how many queries each instance was given. */
export function simulate(options: Simulated): { latencies: number[]; given: number[]; hedges: number } {
  const { instances, places, serviceMs } = options
  const random: Random = mulberry32(options.seed)
  const names = Array.from({ length: instances }, (_, i) => `i${i}`)
  const all = names.map((_, i) => i)
  const picker: Picker =
    options.picker === 'ours'
      ? createInstancePicker(names, mulberry32(options.seed + 1))
      : plainTwoChoices(instances, mulberry32(options.seed + 1))
  const expectation = createExpectedWork()
  const hedging = createHedgeBudget()
  const events: Event[] = []
  let nowMs = 0
  const at = (ms: number, run: () => void): void => {
    let i = events.length
    while (i > 0 && (events[i - 1] as Event).atMs <= ms) i--
    events.splice(i, 0, { atMs: ms, run })
  }
  const busy = new Int32Array(instances)
  const queues: (() => void)[][] = names.map(() => [])
  const given = names.map(() => 0)
  const latencies: number[] = []
  let hedges = 0

  const draw = (): number => serviceMs * Math.min(3, 0.5 - 0.5 * Math.log(1 - random.uniform()))
  /** Serves work of its own length, then tells. */
  function serve(i: number, ms: number, done: () => void): void {
    const begin = (): void => {
      busy[i] = (busy[i] as number) + 1
      at(nowMs + ms, () => {
        busy[i] = (busy[i] as number) - 1
        queues[i]?.shift()?.()
        at(nowMs + options.delayMs(i, nowMs), done)
      })
    }
    if ((busy[i] as number) < places) begin()
    else queues[i]?.push(begin)
  }

  function send(): void {
    const startMs = nowMs
    const workMs = expectation.of('q')
    let isDone = false
    const tries: { instance: number; startMs: number; isOver: boolean }[] = []
    function attempt(avoid: number): void {
      const instance = picker.pick(all, workMs, nowMs, undefined, avoid)
      const own = { instance, startMs: nowMs, isOver: false }
      tries.push(own)
      given[instance] = (given[instance] as number) + 1
      picker.begin(instance, workMs, nowMs)
      serve(instance, draw(), () => {
        if (own.isOver) return
        isDone = true
        latencies.push(nowMs - startMs)
        expectation.note('q', nowMs - own.startMs)
        hedging.note(workMs, nowMs - own.startMs)
        for (const other of tries) {
          if (other.isOver) continue
          other.isOver = true
          picker.answered(other.instance, workMs, other.startMs, nowMs, true)
          picker.end(other.instance, workMs)
        }
      })
    }
    attempt(-1)
    if (!options.hedge) return
    at(nowMs + hedging.delayMs(workMs), () => {
      if (isDone || !hedging.take()) return
      hedges++
      attempt(tries[0]?.instance ?? -1)
    })
  }

  const endMs = options.seconds * 1000
  const next = (): void => {
    send()
    const ms = nowMs - (1000 / options.perSecond) * Math.log(1 - random.uniform())
    if (ms < endMs) at(ms, next)
  }
  const probe = (i: number): void => {
    const beganMs = nowMs
    at(nowMs + 0.5 + options.delayMs(i, nowMs), () => picker.probed(i, nowMs - beganMs, nowMs))
  }
  const look = (): void => {
    for (const i of picker.probesDue(nowMs)) probe(i)
    if (Math.round(nowMs) % 1000 === 0) for (const i of all) if (!picker.isOut(i)) probe(i)
    if (nowMs < endMs) at(nowMs + 50, look)
  }
  at(0, next)
  at(0, look)
  for (let event = events.pop(); event !== undefined; event = events.pop()) {
    nowMs = event.atMs
    event.run()
  }
  return { latencies, given, hedges }
}
