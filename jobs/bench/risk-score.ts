import { brierScore, calibrationError, TrackedRisks } from '#core/risk'
import type { RiskCase } from './risk-cases.ts'

/** What was said, raw and calibrated, and what became of it. */
export interface Scored {
  readonly raw: number[]
  readonly said: number[]
  readonly crossed: number[]
  readonly levels: number[]
}

/** Figures of one set of cases. */
export interface RiskFigures {
  readonly cases: number
  /** Share of cases that crossed. */
  readonly frequency: number
  readonly brier: number
  readonly brierRaw: number
  /** Brier score of always saying the share of crossings of the same cases, by level: it knows the future. */
  readonly brierBase: number
  /** 1 - brier / brierBase; NaN where all outcomes were the same. */
  readonly skill: number
  readonly skillRaw: number
  readonly ece: number
  readonly eceRaw: number
}

/**
 * Replays cases in time order through the calibration that runs live: each risk is said with the outcomes that were
 * known when it was issued. Only those from `scoredFromMs` on are kept.
 */
export function replayCases(cases: readonly RiskCase[], stepMs: number, scoredFromMs: number): Scored {
  const scored: Scored = { raw: [], said: [], crossed: [], levels: [] }
  const tracked = new TrackedRisks()
  const ordered = [...cases].sort((a, b) => a.risk.issuedAtMs - b.risk.issuedAtMs)
  let due = 0
  for (const { key, level, risk, crossed } of ordered) {
    for (; due < ordered.length; due++) {
      const past = ordered[due] as RiskCase
      const untilMs = past.risk.issuedAtMs + past.risk.horizonMs
      if (untilMs > risk.issuedAtMs) break
      for (const [i, value] of past.coming.entries())
        tracked.observe(`${past.key}@${past.level}`, past.risk.issuedAtMs + (i + 1) * stepMs, value)
    }
    const said = tracked.issue(`${key}@${level}`, risk)
    if (risk.issuedAtMs < scoredFromMs) continue
    scored.raw.push(risk.raw)
    scored.said.push(said)
    scored.crossed.push(crossed)
    scored.levels.push(level)
  }
  return scored
}

/** Figures of the cases of one level, or of all. */
export function figuresOf(scored: Scored, level?: number): RiskFigures {
  const kept = scored.levels.map((_, i) => i).filter((i) => level === undefined || scored.levels[i] === level)
  const pick = (from: readonly number[]): number[] => kept.map((i) => from[i] as number)
  const [raw, said, crossed] = [pick(scored.raw), pick(scored.said), pick(scored.crossed)]
  const brierBase = baseScore(pick(scored.levels), crossed)
  const [brier, brierRaw] = [brierScore(said, crossed), brierScore(raw, crossed)]
  return {
    cases: kept.length,
    frequency: share(crossed),
    brier,
    brierRaw,
    brierBase,
    skill: skillOf(brier, brierBase),
    skillRaw: skillOf(brierRaw, brierBase),
    ece: calibrationError(said, crossed),
    eceRaw: calibrationError(raw, crossed),
  }
}

const skillOf = (brier: number, brierBase: number): number =>
  brierBase > 0 ? 1 - brier / brierBase : Number.NaN

function baseScore(levels: readonly number[], crossed: readonly number[]): number {
  let sum = 0
  for (const level of new Set(levels)) {
    const own = crossed.filter((_, i) => levels[i] === level)
    sum += own.length * share(own) * (1 - share(own))
  }
  return sum / crossed.length
}

const share = (crossed: readonly number[]): number => crossed.reduce((a, b) => a + b, 0) / crossed.length
