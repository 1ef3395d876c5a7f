import type { Metrics } from '#core/evaluation'
import { byLoad } from '../placement/index.ts'
import type { Expect } from './plans.ts'
import { totalsOf, type Trace, workAt } from './trace.ts'

const HOT = 26
const QUIET = 0.25
const TOLERANCE = 0.9

const largest = (work: Float64Array) =>
  byLoad(work)
    .slice(0, HOT)
    .filter((s) => work[s]! > 0)

/** How well a forecast names the hot segments of the next step. */
export function hotSetScore(trace: Trace, expect: Expect): Metrics {
  const totals = totalsOf(trace)
  const scored = totals.subarray(trace.t0)
  const mean = scored.reduce((a, b) => a + b, 0) / scored.length
  let [f1, tolerant, captured, steps, error, sum] = [0, 0, 0, 0, 0, 0]
  for (let t = trace.t0; t + 1 < trace.steps; t++) {
    const came = workAt(trace, t + 1)
    const expected = expect(t)
    for (let s = 0; s < trace.segments; s++) {
      error += Math.abs(came[s]! - expected[s]!)
      sum += came[s]!
    }
    if (totals[t + 1]! < QUIET * mean) continue
    const actual = largest(came)
    const predicted = largest(expected)
    if (actual.length === 0) continue
    const isHot = new Set(actual)
    const bar = TOLERANCE * came[actual.at(-1)!]!
    const hits = predicted.filter((s) => isHot.has(s)).length
    const near = predicted.filter((s) => came[s]! >= bar).length
    const size = actual.length + predicted.length
    f1 += (2 * hits) / size
    tolerant += Math.min(1, (2 * near) / size)
    const load = (segments: readonly number[]) => segments.reduce((a, s) => a + came[s]!, 0)
    captured += load(predicted) / load(actual)
    steps++
  }
  return { f1: f1 / steps, tolerantF1: tolerant / steps, captured: captured / steps, wape: error / sum }
}
