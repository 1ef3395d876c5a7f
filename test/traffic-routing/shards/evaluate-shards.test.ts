import { beforeAll, describe, expect, it } from 'vitest'
import type { LinearSolver } from '#core/ports'
import { createInlineSolver } from '#infra/solver'
import { loadCases, type TrafficCase } from '../../../pipelines/traffic-routing/evaluate-data.ts'
import { evaluateShards } from '../../../pipelines/traffic-routing/evaluate-shards.ts'

const folder = new URL('../../../../shared/data/a_abilene_tm_week1/', import.meta.url).pathname
const WALL_CLOCK = 'shards: placement step p99 ms'

describe('evaluation of shards', () => {
  let solver: LinearSolver
  let week: TrafficCase
  beforeAll(async () => {
    solver = await createInlineSolver()
    week = loadCases(folder)[0]!
  })

  const evaluate = (name: string, demands: readonly Float64Array[], trainCount: number) =>
    evaluateShards({
      name,
      network: week.network,
      demands,
      trainCount,
      daily: week.daily,
      solver,
      progress: () => {},
    })

  it('reproduces every figure of the page and meets its targets', () => {
    const { checks, targets, table } = evaluate(week.name, week.demands, week.train)
    expect(Object.keys(checks)).toHaveLength(11)
    expect(Object.keys(checks).filter((name) => !checks[name])).toEqual([])
    expect(targets.filter(({ name, met }) => !met && name !== WALL_CLOCK)).toEqual([])
    const metrics = (plan: string) => table.rows.find((row) => row.plan === plan)!.metrics
    expect(metrics('ours')['laggedMean']).toBeLessThan(
      metrics('risk-sized, cap 0.001 of traffic')['laggedMean']!,
    )
  })

  it('meets the targets on weekdays too, trained on the days before', () => {
    const { checks, targets } = evaluate('weekdays', week.demands.slice(0, 1440), 864)
    expect(checks).toEqual({})
    expect(targets.filter(({ name, met }) => !met && name !== WALL_CLOCK)).toEqual([])
  })
})
