import type { Picker, Random } from '#core/ports'

/** Settings of the choice among instances. */
export interface PickOptions {
  /** Half-life of what is known of an instance's speed, in answers. Default 24. */
  readonly halfLifeAnswers?: number
  /** An instance this many times slower than the median of all gets no more queries, only probes. Default 3. */
  readonly ejectAbove?: number
  /** At most this share of the instances is ejected at a time. Default 0.5. */
  readonly maxEjected?: number
  /** How long an ejected instance is left alone before its first probe, ms; doubles each time up to 16 times. Default 250. */
  readonly probeAfterMs?: number
}

/** What is known of one instance, for metrics. */
export interface InstanceView {
  readonly name: string
  readonly inFlight: number
  /** How many times slower than expected it answers; 1 is as expected. */
  readonly slowness: number
  readonly isEjected: boolean
  readonly isDown: boolean
}

/**
 * Chooses the instance of each query: power of two choices on the work that is under way, weighted by how fast each
 * instance has been of late. Work is in expected ms, so that a long query counts for more than a short one; slowness
 * is how long answers took over what was expected of them, and the age of what has not been answered counts at once.
 */
export interface InstancePicker extends Picker {
  view(nowMs: number): InstanceView[]
  /** Takes in another instance, of which nothing is known; returns its number. */
  add(name: string): number
  /** Leaves an instance alone for good; its number is not given again. */
  remove(instance: number): void
}

const MAX_BACKOFF = 16
/**
 * Speeds this near to each other are equal: their means over a few dozen answers differ by as much from noise alone, and
 * whichever seemed the fastest would get everything while nobody has work, whatever the forecast gave the others.
 */
const ALIKE = 1.3
/** Work below which differences between instances are noise. */
const EPSILON = 1e-9

/** A picker over named instances; nothing is known of them at first. */
export function createInstancePicker(
  names: readonly string[],
  random: Random,
  options: PickOptions = {},
): InstancePicker {
  const { halfLifeAnswers = 24, ejectAbove = 3, maxEjected = 0.5, probeAfterMs = 250 } = options
  const keep = 0.5 ** (1 / halfLifeAnswers)
  const all: string[] = []
  // Plain arrays, as they grow: by the number of the instance.
  const work: number[] = []
  const inFlight: number[] = []
  /** Of those whose answer has not begun: how many, their work, and the sum of their start times, for the mean age. */
  const waiting: number[] = []
  const waitingWork: number[] = []
  const startSum: number[] = []
  const slowness: number[] = []
  const answers: number[] = []
  const ejected: (0 | 1)[] = []
  const isDown: (0 | 1)[] = []
  const isGone: (0 | 1)[] = []
  const probeAtMs: number[] = []
  const backoff: number[] = []
  /** Fastest probes of each instance: what a probe is compared with. */
  const probeBaseMs: number[] = []
  /** Answers since an ejected instance came back: few of them are enough to eject it again. */
  const trial: (0 | 1)[] = []

  function add(name: string): number {
    for (const zeros of [work, inFlight, waiting, waitingWork, startSum, answers]) zeros.push(0)
    for (const flags of [ejected, isDown, isGone, trial]) flags.push(0)
    slowness.push(1)
    backoff.push(1)
    probeAtMs.push(Infinity)
    probeBaseMs.push(NaN)
    return all.push(name) - 1
  }
  for (const name of names) add(name)

  /** Slowness now: an answer that has been waited for for long says as much as one that came late. */
  function slownessNow(i: number, nowMs: number): number {
    const count = waiting[i] as number
    if (count === 0) return slowness[i] as number
    const ageMs = nowMs - (startSum[i] as number) / count
    const expectedMs = (waitingWork[i] as number) / count
    return Math.max(slowness[i] as number, ageMs / Math.max(expectedMs, 1))
  }

  /** Whether `b` would be done clearly sooner than `a`. */
  function isSooner(b: number, a: number, own: number, nowMs: number): boolean {
    const workOfA = (work[a] as number) + own
    const workOfB = (work[b] as number) + own
    const slowA = slownessNow(a, nowMs)
    const slowB = slownessNow(b, nowMs)
    if (slowA < ALIKE * slowB && slowB < ALIKE * slowA) return workOfB < workOfA - EPSILON
    return workOfB * slowB < workOfA * slowA - EPSILON
  }

  /** One query at a time for an instance that has just come back. */
  const isBusyTrial = (i: number): boolean => trial[i] === 1 && (inFlight[i] as number) > 0
  const usable = (i: number): boolean => ejected[i] === 0 && isDown[i] === 0 && !isBusyTrial(i)

  function median(): number {
    const sound = slowness.filter((_, i) => ejected[i] === 0 && isDown[i] === 0).sort((a, b) => a - b)
    return sound[Math.floor((sound.length - 1) / 2)] ?? 1
  }

  function leastSlow(): number {
    let least = Infinity
    for (let i = 0; i < slowness.length; i++) {
      if (ejected[i] === 0 && isDown[i] === 0) least = Math.min(least, slowness[i] as number)
    }
    return least
  }

  function ejectIfSlow(i: number, nowMs: number): void {
    const needed = trial[i] === 1 ? 1 : 4
    if ((answers[i] as number) < needed || ejected[i] === 1 || isDown[i] === 1) return
    // Most are told from slow ones without the median, which is no less than the least.
    const slow = slownessNow(i, nowMs)
    if (slow < ejectAbove * leastSlow()) return
    const out = ejected.reduce<number>((sum, e) => sum + e, 0)
    const present = isGone.reduce<number>((sum, gone) => sum + 1 - gone, 0)
    if ((out + 1) / present > maxEjected) return
    if (slow < ejectAbove * median()) return
    ejected[i] = 1
    backoff[i] = trial[i] === 1 ? Math.min((backoff[i] as number) * 2, MAX_BACKOFF) : 1
    probeAtMs[i] = nowMs + probeAfterMs * backoff[i]
  }

  /** A draw by weight, without number `skip` of the list; -1 if there is nobody else. */
  function draw(candidates: readonly number[], weights: readonly number[] | undefined, skip: number): number {
    const count = candidates.length
    const others = skip < 0 ? count : count - 1
    if (weights === undefined) {
      const k = Math.min(others - 1, Math.floor(random.uniform() * others))
      return k >= skip && skip >= 0 ? k + 1 : k
    }
    let total = 0
    for (let k = 0; k < count; k++) if (k !== skip) total += weights[k] as number
    let left = random.uniform() * total
    let at = -1
    for (let k = 0; k < count; k++) {
      if (k === skip) continue
      at = k
      left -= weights[k] as number
      if (left < 0) return k
    }
    return at
  }

  function pickAmong(
    candidates: readonly number[],
    own: number,
    nowMs: number,
    weights: readonly number[] | undefined,
  ): number {
    const first = draw(candidates, weights, -1)
    const a = candidates[first] ?? -1
    if (candidates.length < 2) return a
    const b = candidates[draw(candidates, weights, first)] as number
    // `a` was drawn first: it stays unless the other is better.
    return isSooner(b, a, own, nowMs) ? b : a
  }

  return {
    pick(candidates, own, nowMs, weights, avoid = -1) {
      let count = 0
      for (const i of candidates) {
        if (i !== avoid && usable(i)) ejectIfSlow(i, nowMs)
        if (i !== avoid && usable(i)) count++
      }
      if (count === candidates.length) return pickAmong(candidates, own, nowMs, weights)
      let fit = candidates.filter((i) => usable(i) && i !== avoid)
      // Slow ones are better than none, those that are down better than a refusal.
      if (fit.length === 0) fit = candidates.filter((i) => isDown[i] === 0 && i !== avoid)
      if (fit.length === 0) fit = candidates.filter((i) => i !== avoid)
      return fit.length === 0 ? -1 : pickAmong(fit, own, nowMs, undefined)
    },
    begin(i, own, nowMs) {
      work[i] = (work[i] as number) + own
      inFlight[i] = (inFlight[i] as number) + 1
      waiting[i] = (waiting[i] as number) + 1
      waitingWork[i] = (waitingWork[i] as number) + own
      startSum[i] = (startSum[i] as number) + nowMs
    },
    answered(i, own, startedMs, nowMs, counts) {
      const left = (waiting[i] as number) - 1
      waiting[i] = left
      waitingWork[i] = left === 0 ? 0 : (waitingWork[i] as number) - own
      startSum[i] = left === 0 ? 0 : (startSum[i] as number) - startedMs
      if (!counts) return
      const ratio = (nowMs - startedMs) / Math.max(own, 0.05)
      const weight = trial[i] === 1 ? 0.5 : 1 - keep
      slowness[i] = (slowness[i] as number) * (1 - weight) + Math.min(ratio, 1000) * weight
      answers[i] = (answers[i] as number) + 1
      if (trial[i] === 1 && answers[i] >= 8) trial[i] = 0
      ejectIfSlow(i, nowMs)
    },
    end(i, own) {
      const left = (inFlight[i] as number) - 1
      inFlight[i] = left
      work[i] = left === 0 ? 0 : Math.max(0, (work[i] as number) - own)
    },
    down(i, nowMs) {
      if (isDown[i] === 1) return // those that are gone, too
      isDown[i] = 1
      probeAtMs[i] = nowMs + probeAfterMs
    },
    probesDue(nowMs) {
      const due: number[] = []
      for (let i = 0; i < all.length; i++) {
        if (nowMs < (probeAtMs[i] as number)) continue
        probeAtMs[i] = Infinity
        due.push(i)
      }
      return due
    },
    isOut: (i) => ejected[i] === 1 || isDown[i] === 1,
    probed(i, elapsedMs, nowMs) {
      if (isGone[i] === 1) return
      const others = probeBaseMs.filter((ms, j) => j !== i && !Number.isNaN(ms)).sort((a, b) => a - b)
      const base = others[Math.floor(others.length / 2)] ?? elapsedMs ?? 0
      const isSound = elapsedMs !== null && elapsedMs <= Math.max(ejectAbove * base, base + 2)
      if (isSound) {
        if (ejected[i] === 1 || isDown[i] === 1) {
          trial[i] = 1
          answers[i] = 0
          slowness[i] = median()
        }
        ejected[i] = 0
        isDown[i] = 0
        const before = probeBaseMs[i] as number
        probeBaseMs[i] = Number.isNaN(before) ? elapsedMs : before * 0.8 + elapsedMs * 0.2
      } else if (ejected[i] === 1 || isDown[i] === 1) {
        if (elapsedMs !== null && isDown[i] === 1) {
          isDown[i] = 0
          ejected[i] = 1
        }
        backoff[i] = Math.min((backoff[i] as number) * 2, MAX_BACKOFF)
        probeAtMs[i] = nowMs + probeAfterMs * backoff[i]
      }
    },
    view: (nowMs) =>
      all.map((name, i) => ({
        name,
        inFlight: inFlight[i] as number,
        slowness: slownessNow(i, nowMs),
        isEjected: ejected[i] === 1,
        isDown: isDown[i] === 1,
      })),
    add,
    remove(i) {
      isDown[i] = 1
      isGone[i] = 1
      ejected[i] = 0
      probeAtMs[i] = Infinity
      probeBaseMs[i] = NaN
    },
  }
}
