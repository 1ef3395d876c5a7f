import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { LinearSolver } from '#core/ports'
import { createInlineSolver } from '#infra/solver'
import { runEvaluate } from '../../jobs/evaluate.ts'
import { checkFacts, isDeveloperData } from '../../pipelines/traffic-routing/evaluate-checks.ts'
import { loadCases, type TrafficCase } from '../../pipelines/traffic-routing/evaluate-data.ts'
import { createOverloadScore } from '../../pipelines/traffic-routing/evaluate-overload-score.ts'
import { overloadCase } from '../../pipelines/traffic-routing/evaluate-overload.ts'
import { createMluProgram } from '../../pipelines/traffic-routing/lp-mlu.ts'
import { maxUtilisation, shortestSplits, uniformSplits } from '../../pipelines/traffic-routing/network.ts'
import { peakDemand, quantileDemand } from '../../pipelines/traffic-routing/plans.ts'
import { triangle } from './networks.ts'

const DATA = join(import.meta.dirname, '../../../shared/data')
const PODS = join(DATA, 'a_meta_pod_tm')
const ABILENE = join(DATA, 'a_abilene_tm_week1')

let solver: LinearSolver
beforeAll(async () => {
  solver = await createInlineSolver()
})

/** Ratios of the first scored row, as the page gives them (they must not depend on the sample size). */
function firstRatios(data: TrafficCase): Record<string, number> {
  const { network, demands, train } = data
  const mlu = createMluProgram(network, solver)
  const row = demands[train]!
  const optimum = mlu.optimum(row)
  const ratio = (splits: Float64Array) => Number((maxUtilisation(network, splits, row) / optimum).toFixed(6))
  const result = {
    uniform: ratio(uniformSplits(network)),
    shortest: ratio(shortestSplits(network)),
    p90: ratio(mlu.plan(quantileDemand(demands, 0, train, 0.9))),
    last: ratio(mlu.plan(demands[train - 1]!)),
    peak: ratio(mlu.plan(peakDemand(demands, train - 12, train))),
  }
  mlu.dispose()
  return result
}

describe.skipIf(!existsSync(PODS))('check values of the pods', () => {
  let pods: TrafficCase[]
  beforeAll(() => {
    pods = loadCases(PODS)
  })

  it('splits and recognises the developer data', () => {
    expect(pods.map((p) => [p.name, p.train, p.demands.length, isDeveloperData(p)])).toEqual([
      ['pod_a', 7500, 10000, true],
      ['pod_b', 5000, 7500, true],
    ])
  })

  it('optima equal the published ones', () => {
    for (const pod of pods) {
      const mlu = createMluProgram(pod.network, solver)
      for (let i = pod.train; i < pod.demands.length; i += 50)
        expect(Math.abs(mlu.optimum(pod.demands[i]!) / pod.published[i]! - 1)).toBeLessThan(1e-12)
      mlu.dispose()
    }
  })

  it('first scored ratios are those of the page', () => {
    expect(pods.map(firstRatios)).toEqual([
      { uniform: 1.414025, shortest: 1.48812, p90: 1.108956, last: 1.188035, peak: 1.014459 },
      { uniform: 1.995541, shortest: 1.318648, p90: 1.159261, last: 1.284596, peak: 1.220429 },
    ])
  })

  it('static p90 splits of pod a are those of the page', () => {
    const pod = pods[0]!
    const mlu = createMluProgram(pod.network, solver)
    const { network, demands, train, daily } = pod
    const context = { network, solver, mlu, demands, optima: new Float64Array(demands.length), train, daily }
    const facts = checkFacts(pod, context, mlu.plan(quantileDemand(demands, 0, train, 0.9)))
    expect(Object.keys(facts)).toHaveLength(3)
    expect(Object.values(facts).every(Boolean)).toBe(true)
    mlu.dispose()
  })
})

describe.skipIf(!existsSync(ABILENE))('check values of Abilene', () => {
  let data: TrafficCase
  beforeAll(() => {
    data = loadCases(ABILENE)[0]!
  })

  it('candidates, demands and first scored ratios are those of the page', () => {
    const { network, demands, train } = data
    expect([network.pairs, network.paths, train, demands.length]).toEqual([132, 522, 1440, 2016])
    const first = network.firstPath[network.pairNames.indexOf('LOSAng->CHINng')]!
    expect(Array.from(network.latencyMs.subarray(first, first + 4), (ms) => Number(ms.toFixed(6)))).toEqual([
      15.54, 18.015, 19.58, 23.845,
    ])
    expect(demands[1440]!.reduce((a, b) => a + b, 0)).toBeCloseTo(2927.758945, 6)
    const ratios = firstRatios(data)
    expect(ratios).toMatchObject({ uniform: 4.720596, shortest: 1.567042, p90: 1.086278 })
  })

  it('scales the splits of part 2 and scores the static plan as on the page', () => {
    const phi = (rows: number, train: number, level: number) => overloadCase('x', data, rows, train, level)
    expect(phi(1440, 864, 1.3).phi).toBeCloseTo(9.291152, 6)
    expect(phi(2016, 1440, 1.5).phi).toBeCloseTo(20.9382, 5)
    const weekend = phi(2016, 1440, 1.3)
    expect(weekend.phi).toBeCloseTo(18.14644, 6)
    const score = createOverloadScore(data.network)
    const splits = shortestSplits(data.network)
    for (let i = weekend.train; i < weekend.demands.length; i++) score.add(splits, weekend.demands[i]!)
    const metrics = score.metrics()
    expect(metrics).toMatchObject({ linkOverloadMin: 2570, minutesWithAny: 1465, churnPercent: 0 })
    expect(metrics['overCapacityPercent']).toBeCloseTo(2.0419, 4)
    expect(metrics['addedLatencyMeanMs']).toBeCloseTo(13.213, 3)
    expect(metrics['p99Ms']).toBeCloseTo(150.06, 2)
  })
})

describe('overload score', () => {
  it('counts links and intervals above capacity, excess, queueing delay and churn', () => {
    const network = triangle()
    const score = createOverloadScore(network)
    score.add(shortestSplits(network), Float64Array.of(20, 5))
    score.add(uniformSplits(network), Float64Array.of(4, 4))
    const metrics = score.metrics()
    expect(metrics).toMatchObject({ linkOverloadMin: 5, minutesWithAny: 5, maxUtilisation: 2 })
    expect(metrics['overCapacityPercent']).toBeCloseTo((100 * 10) / 33, 9)
    expect(metrics['churnPercent']).toBeCloseTo(50, 9)
    expect(metrics['p99Ms']).toBeCloseTo(50, 9)
  })
})

describe('the command', () => {
  it('says what is wrong with its arguments and exits with 2', async () => {
    expect(await runEvaluate(['nothing', '--data', '.'])).toBe(2)
    expect(await runEvaluate(['traffic-routing'])).toBe(2)
    expect(await runEvaluate(['traffic-routing', '--data', import.meta.dirname])).toBe(2)
    expect(await runEvaluate(['traffic-routing', '--nonsense'])).toBe(2)
  })
})
