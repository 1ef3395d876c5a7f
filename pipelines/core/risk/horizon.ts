import { LEVELS } from '#core/math'
import { probabilityCrossed, type Side } from './crossing.ts'

/** Joint draws of a series: draw k of step h at `values[(h - 1) * count + k]`; a draw is one path through all steps. */
export interface Draws {
  readonly values: ArrayLike<number>
  readonly count: number
}

/** P(limit crossed) at any of several steps. */
export interface HorizonRisk {
  readonly probability: number
  /** Step (1..) with the highest probability; the first of them. */
  readonly worstStep: number
  /** Probability at that step alone. */
  readonly worstProbability: number
}

/**
 * Forecast errors of neighbouring steps move together: a step beside the worst one adds the share 1 - 0.8 of what it would add if it
 * were independent. 1 would be the largest step alone (full dependence), 0 independence. Measured crossings decide
 * through the calibration; with draws the rule is not used.
 */
export const STEP_DEPENDENCE = 0.8

/**
 * P(limit crossed within the horizon). `quantiles`: six per step, `steps` steps. Always between the probability of the worst step
 * and that of independent steps. Without draws: 1 - (1 - p_worst) * product over the others of (1 - p_h)^(1 - STEP_DEPENDENCE).
 * With draws: the share of paths that cross, (k + 1/2) / (n + 1), held between those two bounds.
 */
export function horizonRisk(
  quantiles: ArrayLike<number>,
  steps: number,
  limit: number,
  side: Side,
  draws?: Draws,
): HorizonRisk {
  let worstStep = 1
  let worst = -1
  let logNone = 0
  for (let h = 1; h <= steps; h++) {
    const probability = probabilityCrossed(quantiles, limit, side, (h - 1) * LEVELS)
    logNone += Math.log1p(-probability)
    if (probability > worst) {
      worst = probability
      worstStep = h
    }
  }
  const independent = -Math.expm1(logNone)
  const others = logNone - Math.log1p(-worst)
  const rule = worst >= 1 ? 1 : 1 - (1 - worst) * Math.exp((1 - STEP_DEPENDENCE) * others)
  const estimate = draws && draws.count > 0 ? crossingShare(draws, steps, limit, side) : rule
  return {
    probability: Math.min(1, Math.max(worst, Math.min(independent, estimate))),
    worstStep,
    worstProbability: worst,
  }
}

function crossingShare(draws: Draws, steps: number, limit: number, side: Side): number {
  let crossed = 0
  for (let k = 0; k < draws.count; k++) {
    for (let h = 0; h < steps; h++) {
      const value = draws.values[h * draws.count + k] as number
      if (side === 'above' ? value > limit : value < limit) {
        crossed++
        break
      }
    }
  }
  return (crossed + 0.5) / (draws.count + 1)
}
