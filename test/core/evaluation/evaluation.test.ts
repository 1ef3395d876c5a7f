import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  atMost,
  blocksWorse,
  type EvaluationReport,
  exitStatus,
  mean,
  nearestRank,
  renderTable,
  renderVerdict,
  sorted,
  weightedQuantile,
} from '#core/evaluation'

describe('statistics', () => {
  it('nearest rank is sorted[ceil(p n) - 1]', () => {
    const values = Float64Array.from({ length: 100 }, (_, i) => i + 1)
    expect([0.01, 0.5, 0.9, 0.99, 1].map((p) => nearestRank(values, p))).toEqual([1, 50, 90, 99, 100])
    expect(nearestRank([7], 0.99)).toBe(7)
  })

  it('a weighted quantile with equal weights is the nearest rank', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1 }),
        fc.integer({ min: 1, max: 99 }),
        (list, percent) => {
          const values = Float64Array.from(list)
          const weights = new Float64Array(values.length).fill(1)
          // Sums of ones are exact; shares that fall on a boundary differ only by rounding of p n.
          fc.pre(Math.abs((percent * values.length) % 100) > 1e-9)
          expect(weightedQuantile(values, weights, percent / 100)).toBe(
            nearestRank(sorted(values), percent / 100),
          )
        },
      ),
    )
  })

  it('counts blocks that are worse than the bar, the short last one too', () => {
    const bar = Float64Array.of(1, 1, 1, 1, 1)
    expect(blocksWorse(Float64Array.of(1, 1.2, 1, 0.9, 1.1), bar, 2)).toBe(2)
    expect(blocksWorse(Float64Array.of(1, 1.2, 1, 0.9, 1.1), bar, 2, 0.1 + 1e-9)).toBe(0)
    expect(mean(bar)).toBe(1)
  })
})

describe('report', () => {
  const report: EvaluationReport = {
    subsystem: 's',
    data: 'd',
    plans: {},
    targets: [atMost('a', 1, 1), atMost('b', 2, 1)],
    checks: { good: true, bad: false },
  }

  it('a missed target does not fail the run, a failed check does', () => {
    expect(exitStatus(report)).toBe(1)
    expect(exitStatus({ ...report, checks: { good: true } })).toBe(0)
  })

  it('says what was met, missed and not reproduced', () => {
    expect(renderVerdict(report)).toBe(
      '## Targets\nmet     a: 1 (target 1)\nmissed  b: 2 (target 1)\n## Checks: 1 of 2 reproduced\nNOT reproduced: bad',
    )
  })

  it('prints a table', () => {
    const table = {
      title: 'T',
      columns: [{ key: 'mean', heading: 'mean', decimals: 2 }],
      rows: [{ plan: 'p', metrics: { mean: 1.234 } }],
    }
    expect(renderTable(table)).toBe('## T\n| plan | mean |\n|------|-----:|\n| p    | 1.23 |')
  })
})
