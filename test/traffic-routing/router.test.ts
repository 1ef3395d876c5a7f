import { beforeAll, describe, expect, it } from 'vitest'
import { type LinearSolver, mulberry32 } from '#core/ports'
import { createInlineSolver, createWorkerSolver } from '#infra/solver'
import { ourMluPlan, ourOverloadPlan } from '../../pipelines/traffic-routing/evaluate-ours.ts'
import { createMluProgram } from '../../pipelines/traffic-routing/lp-mlu.ts'
import { MEAN } from '../../pipelines/traffic-routing/lp-scenario.ts'
import { maxUtilisation, shortestSplits, uniformSplits } from '../../pipelines/traffic-routing/network.ts'
import { createRouter, ROUTER_SETTINGS } from '../../pipelines/traffic-routing/router.ts'
import { costGoal, utilisationGoal } from '../../pipelines/traffic-routing/router-goal.ts'
import { createSelector } from '../../pipelines/traffic-routing/router-select.ts'
import { triangle } from './networks.ts'

/** Where links across are narrow, no one plan is best for all demands. */
const network = triangle(3)
const TRAIN = 320
const ROWS = 340

/** Two streams: slow waves with noise, so that there is something to forecast. */
function series(rows: number, seed = 3): Float64Array[] {
  const random = mulberry32(seed)
  const noise = () => Math.exp(0.1 * (random.uniform() - 0.5))
  return Array.from({ length: rows }, (_, i) =>
    Float64Array.of((6 + 4 * Math.sin(i / 15)) * noise(), (6 + 4 * Math.cos(i / 11)) * noise()),
  )
}

let solver: LinearSolver
beforeAll(async () => {
  solver = await createInlineSolver()
})

describe('no look-ahead', () => {
  /** The plans for every scored row when the rows from `changedFrom` on are ten times as large. */
  function plans(kind: 'utilisation' | 'cost', changedFrom: number): Float64Array[] {
    const demands = series(ROWS).map((d, i) =>
      i >= changedFrom ? d.map((v, k) => v * (k === 0 ? 10 : 0.1)) : d,
    )
    const mlu = createMluProgram(network, solver)
    const optima = Float64Array.from(demands, (d) => mlu.optimum(d))
    const rows = Array.from({ length: ROWS - TRAIN }, (_, j) => TRAIN + j)
    if (kind === 'utilisation') {
      const plan = ourMluPlan({ network, solver, mlu, demands, optima, train: TRAIN, daily: 0 }, 'ours', MEAN)
      return rows.map((row) => plan.splits(row))
    }
    const plan = ourOverloadPlan({ name: 'x', network, demands, train: TRAIN, daily: 0, phi: 1 }, solver)
    let standing = plan.opening()
    return rows.map((row) => (standing = plan.next(row, standing)))
  }

  it.each([
    ['utilisation', 1],
    ['cost', 2],
  ] as const)('the %s plan for row i rests on rows up to i - %i', (kind, lag) => {
    const changed = TRAIN + 8
    const before = plans(kind, ROWS)
    const after = plans(kind, changed)
    const same = before.map((splits, j) => splits.every((f, p) => f === after[j]![p]))
    const firstAffected = changed + lag - TRAIN
    expect(same.slice(0, firstAffected).every(Boolean)).toBe(true)
    expect(same.slice(firstAffected).every(Boolean)).toBe(false)
  })
})

describe('router', () => {
  const small = { ...ROUTER_SETTINGS, extremes: { count: 4, weight: 0.1 }, backtestRows: 40 }
  const history = series(TRAIN)
  /** A forecast that knows the next demand, and one that knows nothing of it. */
  const perfect = (row: number) => [series(ROWS)[row]!]
  const useless = (row: number) => [series(ROWS)[(row * 37) % TRAIN]!.map((v, k) => (k === 0 ? 20 - v : v))]

  it('acts on the forecast where it pays, and on the static plan where it does not', () => {
    const leader = (backtest: (row: number) => Float64Array[]) => {
      const settings = { ...small, recent: { count: 6, weight: 0 }, extremes: { count: 0, weight: 0 } }
      const router = createRouter(network, utilisationGoal(network, solver), solver, settings)
      router.learn({ history, backtest, backtestFrom: 240, lag: 1 })
      return router.status().leader
    }
    expect(leader(perfect)).toBe('forecast')
    expect(leader(useless)).toBe('static')
  })

  it('says what acting and not acting cost, and acting on the cost goal is never the dearer', () => {
    const router = createRouter(network, costGoal(network, 0), solver, small)
    router.learn({ history, backtest: perfect, backtestFrom: 240, lag: 1 })
    for (const standing of [shortestSplits(network), uniformSplits(network)]) {
      const plan = router.plan({
        target: TRAIN,
        scenarios: [Float64Array.of(9, 9), Float64Array.of(12, 3)],
        standing,
      })
      expect(plan.candidate).toBe('forecast')
      expect(plan.costAfter).toBeLessThanOrEqual(plan.costNow + 1e-6)
    }
  })

  it('a late solver gives the greedy plan or the standing one, whichever costs less', () => {
    const router = createRouter(network, costGoal(network, 0), solver, small)
    router.learn({ history, backtest: perfect, backtestFrom: 240, lag: 1 })
    const scenarios = [Float64Array.of(15, 1)]
    const bad = router.plan({ target: TRAIN, scenarios, standing: shortestSplits(network) }, 0)
    expect(bad.candidate).toBe('greedy')
    expect(bad.costAfter).toBeLessThan(bad.costNow)
    const good = router.plan({ target: TRAIN, scenarios, standing: bad.splits }, 0)
    expect(['standing', 'greedy']).toContain(good.candidate)
    expect(good.costAfter).toBeLessThanOrEqual(good.costNow)
  })

  it('plans the same on another thread', async () => {
    const remote = await createWorkerSolver()
    try {
      const router = createRouter(network, costGoal(network, 5), solver, small)
      router.learn({ history, backtest: perfect, backtestFrom: 240, lag: 1 })
      const request = { target: TRAIN, scenarios: series(8, 9), standing: uniformSplits(network) }
      const here = router.plan(request)
      const there = await router.planRemotely(remote, request, 20_000)
      expect(there.candidate).toBe('forecast')
      expect(Array.from(there.splits)).toEqual(Array.from(here.splits))
    } finally {
      await remote.close()
    }
  })

  it('before it has learnt anything it stays on the default paths', () => {
    const router = createRouter(network, utilisationGoal(network, solver), solver)
    const plan = router.plan({ target: 0, scenarios: [], standing: shortestSplits(network) })
    expect(plan).toMatchObject({ candidate: 'static', costNow: 0, costAfter: 0 })
    expect(maxUtilisation(network, plan.splits, Float64Array.of(5, 5))).toBe(0.5)
  })
})

describe('selector', () => {
  const settings = { memory: 100, margin: 0.01, minimum: 20, certainty: 2 }
  const losses = (a: number, b: number) =>
    new Map([
      ['a', a],
      ['b', b],
    ])

  it('changes the leader after steady gains, not before the minimum', () => {
    const selector = createSelector('a', settings)
    for (let i = 0; i < 19; i++) selector.note(losses(1.1, 1))
    expect(selector.leader()).toBe('a')
    selector.note(losses(1.1, 1))
    expect(selector.leader()).toBe('b')
    expect(selector.loss('b')).toBeCloseTo(1, 12)
  })

  it('does not change it for one burst, nor for a gain within the margin', () => {
    const burst = createSelector('a', settings)
    for (let i = 0; i < 60; i++) burst.note(i === 5 ? losses(100, 1) : losses(1, 1))
    expect(burst.leader()).toBe('a')
    const slight = createSelector('a', settings)
    for (let i = 0; i < 60; i++) slight.note(losses(1.005, 1))
    expect(slight.leader()).toBe('a')
  })
})
