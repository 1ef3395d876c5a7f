import type { ProbeAnswer } from './measure.ts'

/** What the last probes of one region say together. */
interface ProbeSummary {
  /** Mean deviation of the round trip from its mean, ms; 0 with fewer than two answers. */
  jitterMs: number
  /** Share of probes without answer, 0..1. */
  lossRatio: number
  /** Share of answers that were errors, 0..1; 0 without answers. */
  errorRatio: number
}

/** The last `size` probes of one region. */
export interface ProbeHistory {
  /** Adds an answer, or null for none, and sums up. */
  add(answer: ProbeAnswer | null): ProbeSummary
}

/** An empty history. */
export function createProbeHistory(size: number): ProbeHistory {
  const probes: (ProbeAnswer | null)[] = []
  return {
    add(answer) {
      probes.push(answer)
      if (probes.length > size) probes.shift()
      const answers = probes.filter((p) => p !== null)
      const mean = average(answers.map((a) => a.rttMs))
      return {
        jitterMs: average(answers.map((a) => Math.abs(a.rttMs - mean))),
        lossRatio: 1 - answers.length / probes.length,
        errorRatio: average(answers.map((a) => Number(a.failed))),
      }
    },
  }
}

const average = (values: readonly number[]): number =>
  values.length === 0 ? 0 : values.reduce((sum, v) => sum + v, 0) / values.length
