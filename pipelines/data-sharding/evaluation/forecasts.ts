import { PooledForecaster } from '../predict/index.ts'
import type { Expect } from './plans.ts'
import { type Trace, workAt } from './trace.ts'

/** Our forecasts of a whole trace, each made from what was known before it. */
export interface Forecasts {
  /** Mean and standard deviation of step t + 1, issued before t was seen. */
  at(t: number): {
    readonly mean: Float64Array
    readonly deviation: Float64Array
    readonly gammaPoisson: Float64Array
  }
}

/** Steps between the last one seen and the one that a plan is for. */
const AHEAD = 2

/** Runs the live forecaster over a trace. */
export function forecastTrace(trace: Trace): Forecasts {
  const { segments, steps, day, week } = trace
  const means = new Float64Array(steps * segments)
  const deviations = new Float64Array(steps * segments)
  const gammas = new Float64Array(steps * segments)
  const calendar = (t: number) =>
    trace.calendar !== null && t >= 0 && t < steps
      ? trace.calendar.subarray(t * segments, (t + 1) * segments)
      : null
  const forecaster = new PooledForecaster({ segments, day, week }, AHEAD, calendar)
  for (let t = 0; t < steps; t++) {
    if (t > 0) {
      const { mean, deviation, gammaPoisson } = forecaster.forecast()
      gammas.set(gammaPoisson, t * segments)
      means.set(mean, t * segments)
      deviations.set(deviation, t * segments)
    }
    forecaster.observe(workAt(trace, t))
  }
  return {
    at: (t) => ({
      mean: means.subarray(t * segments, (t + 1) * segments),
      gammaPoisson: gammas.subarray(t * segments, (t + 1) * segments),
      deviation: deviations.subarray(t * segments, (t + 1) * segments),
    }),
  }
}

/** EWMA with rate `a` of the loads before each step, kept for all steps asked in order. */
export function ewmaExpect(trace: Trace, a: number): Expect {
  const all = new Float64Array(trace.steps * trace.segments)
  for (let t = 1; t < trace.steps; t++) {
    const last = workAt(trace, t - 1)
    const at = t * trace.segments
    for (let s = 0; s < trace.segments; s++) {
      const before = all[at - trace.segments + s]!
      all[at + s] = t === 1 ? last[s]! : before + a * (last[s]! - before)
    }
  }
  return (t) => all.subarray(t * trace.segments, (t + 1) * trace.segments)
}

/** The forecasts of the page that need no model. */
export function simpleExpects(trace: Trace): Readonly<Record<string, Expect>> {
  const { steps, day, week, segments } = trace
  const within = (rows: Float64Array, t: number) => {
    const step = Math.min(t, steps - 1)
    return rows.subarray(step * segments, (step + 1) * segments)
  }
  const lastDay: Expect = (t) => workAt(trace, Math.max(0, t + 1 - day))
  const lastWeek: Expect = (t) => workAt(trace, Math.max(0, t + 1 - week))
  const ewma3 = ewmaExpect(trace, 0.3)
  return {
    'last step': (t) => workAt(trace, t - 1),
    'EWMA 0.3': ewma3,
    'EWMA 0.05': ewmaExpect(trace, 0.05),
    'same hour last day': lastDay,
    'same hour last week': lastWeek,
    mixture: (t) => ewma3(t).map((x, s) => (x + lastDay(t)[s]! + lastWeek(t)[s]!) / 3),
    clairvoyant: (t) => workAt(trace, Math.min(t + 1, steps - 1)),
    ...(trace.intensity === undefined
      ? {}
      : {
          'true intensity': (t: number) => within(trace.intensity!.true, t + 1),
          'seen intensity': (t: number) => within(trace.intensity!.seen, t + 1),
        }),
  }
}
