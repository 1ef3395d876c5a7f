import * as fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import type { LinearSolver } from '#core/ports'
import { createInlineSolver } from '#infra/solver'
import { createCostProgram } from '../../pipelines/traffic-routing/lp-cost.ts'
import { expectedCost, planExpectedCost } from '../../pipelines/traffic-routing/lp-expected-cost.ts'
import { createMluProgram } from '../../pipelines/traffic-routing/lp-mlu.ts'
import {
  MEAN,
  MIX,
  planScenarios,
  type Scenario,
  type ScenarioObjective,
} from '../../pipelines/traffic-routing/lp-scenario.ts'
import { maxUtilisation, shortestSplits, uniformSplits } from '../../pipelines/traffic-routing/network.ts'
import { greedySplits } from '../../pipelines/traffic-routing/router-greedy.ts'
import { triangle } from './networks.ts'

const STEPS = 100
const network = triangle()
const demand = fc
  .tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 30 }))
  .map((d) => Float64Array.from(d))

/** Every plan on a grid of 1 %. */
function* grid(): Generator<Float64Array> {
  for (let i = 0; i <= STEPS; i++)
    for (let j = 0; j <= STEPS; j++) yield Float64Array.of(i / STEPS, 1 - i / STEPS, j / STEPS, 1 - j / STEPS)
}

function best(score: (splits: Float64Array) => number): number {
  let least = Infinity
  for (const splits of grid()) least = Math.min(least, score(splits))
  return least
}

const tailMean = (values: number[], level: number) => {
  const worst = values.toSorted((a, b) => b - a)
  const mass = (1 - level) * values.length
  let left = mass
  let sum = 0
  for (const value of worst) {
    const take = Math.min(1, left)
    sum += take * value
    left -= take
    if (left <= 0) break
  }
  return sum / mass
}

function objective(
  scenarios: readonly Scenario[],
  splits: Float64Array,
  { tail, level }: ScenarioObjective,
): number {
  const ratios = scenarios.map((s) => maxUtilisation(network, splits, s.demand) / s.optimum)
  const average = ratios.reduce((a, b) => a + b, 0) / ratios.length
  return (1 - tail) * average + (tail === 0 ? 0 : tail * tailMean(ratios, level))
}

let solver: LinearSolver
beforeAll(async () => {
  solver = await createInlineSolver()
})

describe('LP against every plan on a grid', () => {
  it('minimises the maximum utilisation', () => {
    const mlu = createMluProgram(network, solver)
    fc.assert(
      fc.property(demand, (d) => {
        const optimum = mlu.optimum(d)
        const onGrid = best((f) => maxUtilisation(network, f, d))
        expect(optimum).toBeLessThanOrEqual(onGrid + 1e-9)
        expect(optimum).toBeGreaterThan(onGrid - 0.08)
        expect(maxUtilisation(network, mlu.plan(d), d)).toBeCloseTo(optimum, 6)
      }),
      { numRuns: 20 },
    )
    mlu.dispose()
  })

  it.each([MEAN, MIX, { tail: 1, level: 0.5 }])('minimises mean and tail over scenarios %o', (goal) => {
    const mlu = createMluProgram(network, solver)
    fc.assert(
      fc.property(fc.array(demand, { minLength: 1, maxLength: 6 }), (demands) => {
        const scenarios = demands.map((d) => ({ demand: d, optimum: mlu.optimum(d) }))
        const { splits } = planScenarios(network, solver, scenarios, goal)
        const ours = objective(scenarios, splits, goal)
        // The tie-break may cost up to 1e-3 x mean weight of a path.
        expect(ours).toBeLessThanOrEqual(best((f) => objective(scenarios, f, goal)) + 3e-3)
        for (const rival of [
          uniformSplits(network),
          shortestSplits(network),
          ...demands.map((d) => mlu.plan(d)),
        ])
          expect(ours).toBeLessThanOrEqual(objective(scenarios, rival, goal) + 3e-3)
      }),
      { numRuns: 8 },
    )
    mlu.dispose()
  })

  it('minimises the expected cost, of one demand as the cost LP does', () => {
    const cost = createCostProgram(network, solver)
    fc.assert(
      fc.property(fc.array(demand, { minLength: 1, maxLength: 5 }), (demands) => {
        const scenarios = demands.map((d) => ({ demand: d }))
        const { splits } = planExpectedCost(network, solver, scenarios, shortestSplits(network))
        const ours = expectedCost(network, scenarios, splits)
        expect(ours).toBeLessThanOrEqual(best((f) => expectedCost(network, scenarios, f)) + 2e-3)
        const single = planExpectedCost(
          network,
          solver,
          scenarios.slice(0, 1),
          shortestSplits(network),
        ).splits
        const value = (f: Float64Array) => expectedCost(network, scenarios.slice(0, 1), f)
        expect(value(single)).toBeCloseTo(value(cost.plan(demands[0]!)), 2)
      }),
      { numRuns: 8 },
    )
    cost.dispose()
  })

  it('a churn price keeps the standing plan unless moving pays', () => {
    const scenarios = [{ demand: Float64Array.of(9, 1) }]
    const standing = uniformSplits(network)
    const moved = (price: number) => {
      const { splits } = planExpectedCost(network, solver, scenarios, standing, { churnPrice: price })
      return splits.reduce((sum, f, p) => sum + Math.abs(f - standing[p]!), 0)
    }
    expect(moved(1e6)).toBeCloseTo(0, 9)
    expect(moved(0)).toBeGreaterThan(0.1)
    expect(moved(0)).toBeGreaterThanOrEqual(moved(0.5) - 1e-9)
  })
})

describe('without a solver', () => {
  it('the greedy plan is feasible and not far from the optimum', () => {
    const mlu = createMluProgram(network, solver)
    fc.assert(
      fc.property(demand, (d) => {
        const splits = greedySplits(network, d)
        expect(splits.every((f) => f >= 0 && f <= 1)).toBe(true)
        expect(splits[0]! + splits[1]!).toBeCloseTo(1, 12)
        expect(splits[2]! + splits[3]!).toBeCloseTo(1, 12)
        // Below 70 % it takes the shortest paths on purpose.
        const load = maxUtilisation(network, splits, d)
        expect(load <= 0.7 + 1e-9 || load <= 1.35 * mlu.optimum(d)).toBe(true)
      }),
    )
    mlu.dispose()
  })
})
