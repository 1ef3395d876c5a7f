import { LEVELS } from '#core/math'
import { calibrate } from './calibration.ts'
import { driversInWords } from './drivers.ts'
import { anomalyShift, eventShift, eventsInForce } from './evidence.ts'
import { horizonRisk } from './horizon.ts'
import type { RiskInput } from './input.ts'

/** The answer, in the terms of the Risk record. */
export interface RiskAssessment {
  /** Calibrated P(limit crossed within the horizon), 0..1. */
  readonly probability: number
  /** The same before calibration: what calibrations are fitted on. */
  readonly rawProbability: number
  /** From the forecast alone, without anomaly and events. */
  readonly forecastProbability: number
  /** Step (1..) most likely to cross; the three quantiles are of this step. */
  readonly worstStep: number
  readonly q10: number
  readonly q50: number
  readonly q90: number
  /** Why, most important first, with numbers; at least one. */
  readonly drivers: readonly string[]
}

/** Probability said when there is no forecast: nothing is known, and policies must treat it as such. */
const UNKNOWN = 0.5
const EDGE = 1e-9

/**
 * Probability that the limit is crossed within the horizon, and why. Never NaN; without a forecast it is one half. An anomaly towards the
 * limit and the gravest event in force raise the odds (evidence.ts); the calibration comes last.
 */
export function assessRisk(input: RiskInput): RiskAssessment {
  const { quantiles, steps, limit, side, stepMs } = input
  if (!isKnown(quantiles, steps) || Number.isNaN(limit)) return unknownRisk(input)
  const found = horizonRisk(quantiles, steps, limit, side, input.draws)
  const anomaly = input.anomaly ? anomalyShift(input.anomaly, side) : 0
  const events = eventsInForce(input.events ?? [], input.entity, input.issuedAtMs, steps * stepMs)
  const eventful = events.reduce((most, event) => Math.max(most, eventShift(event)), 0)
  const rawProbability = shifted(found.probability, anomaly + eventful)
  const at = (found.worstStep - 1) * LEVELS
  return {
    probability: input.calibration ? calibrate(input.calibration, rawProbability) : rawProbability,
    rawProbability,
    forecastProbability: found.probability,
    worstStep: found.worstStep,
    q10: quantiles[at + 1] as number,
    q50: quantiles[at + 2] as number,
    q90: quantiles[at + 3] as number,
    drivers: driversInWords(input, found, anomaly, events),
  }
}

/** Adds log-odds to a probability; 0 adds nothing. */
function shifted(probability: number, logOdds: number): number {
  if (logOdds === 0) return probability
  const inside = Math.max(EDGE, Math.min(1 - EDGE, probability))
  const odds = (inside / (1 - inside)) * Math.exp(logOdds)
  return Math.max(probability, odds / (1 + odds))
}

function isKnown(quantiles: ArrayLike<number>, steps: number): boolean {
  for (let i = 0; i < steps * LEVELS; i++) if (!Number.isFinite(quantiles[i])) return false
  return steps > 0
}

function unknownRisk(input: RiskInput): RiskAssessment {
  const last = input.last ?? NaN
  return {
    probability: UNKNOWN,
    rawProbability: UNKNOWN,
    forecastProbability: UNKNOWN,
    worstStep: 1,
    q10: last,
    q50: last,
    q90: last,
    drivers: ['nothing is known about this series yet: no forecast'],
  }
}
