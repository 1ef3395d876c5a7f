import { array, assert, constantFrom, double, integer, property, tuple } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { mulberry32 } from '#core/ports'
import { Flow, rendezvousLayout, strengthOf } from '../../../pipelines/data-sharding/placement/index.ts'
import { createPlanner } from '../../../pipelines/data-sharding/placement/planner.ts'
import { RiskPlanner } from '../../../pipelines/data-sharding/placement/risk-planner.ts'

const SEGMENTS = 32
const INSTANCES = 4
const RULE = { spread: 2, ratio: 3, least: 0.004 }
const works = array(double({ min: 0, max: 100, noNaN: true }), { minLength: SEGMENTS, maxLength: SEGMENTS })
/** What is hot, and by how much: one segment has a third of all work. */
const skewed = Float64Array.from({ length: SEGMENTS }, (_, s) => (s === 7 ? 60 : 120 / (s + 3)))

function run(work: ArrayLike<number>, steps: number, cap: number) {
  const planner = new RiskPlanner(SEGMENTS, INSTANCES, RULE)
  const layout = rendezvousLayout(SEGMENTS, INSTANCES)
  let copies = 0
  for (let t = 0; t < steps; t++) copies = planner.plan(work, layout, { copies: 3, cap })
  return { layout, copies }
}

describe('the planner by risk', () => {
  test('keeps its limits, loses no segment and puts nothing on what is down, at any work and strength', () => {
    const strengths = constantFrom([1, 1, 1, 1], [2, 1, 1, 0.5], [1, 0, 1, 1])
    assert(
      property(
        array(tuple(works, strengths), { minLength: 1, maxLength: 8 }),
        integer({ min: 0, max: 20 }),
        (steps, spare) => {
          const planner = new RiskPlanner(SEGMENTS, INSTANCES, RULE)
          const layout = rendezvousLayout(SEGMENTS, INSTANCES)
          for (const [work, capacities] of steps) {
            const before = layout.clone()
            const limits = { copies: 3, cap: SEGMENTS + spare }
            const copies = planner.plan(work, layout, limits, strengthOf(capacities))
            let [added, lost] = [0, 0]
            for (let s = 0; s < SEGMENTS; s++) {
              const holders = layout.holders(s)
              expect(holders.length).toBe(layout.count[s])
              expect(holders.length).toBeGreaterThanOrEqual(1)
              const isUp = (i: number) => capacities[i]! > 0
              const fresh = holders.filter((i) => !before.holds(s, i))
              added += fresh.length
              expect(fresh.every(isUp)).toBe(true)
              lost += before.holders(s).some(isUp) && !holders.some(isUp) ? 1 : 0
            }
            expect(lost).toBe(0)
            expect(copies).toBeLessThanOrEqual(3)
            expect(added).toBeLessThanOrEqual(copies)
            expect(layout.total).toBeLessThanOrEqual(SEGMENTS + spare)
          }
        },
      ),
    )
  })

  test('lays what is large out wide, and then rests', () => {
    const { layout, copies } = run(skewed, 40, SEGMENTS + 12)
    expect(layout.count[7]).toBe(INSTANCES)
    expect(copies).toBe(0)
    const flow = new Flow(SEGMENTS, INSTANCES)
    flow.route(skewed, layout, 'equal')
    expect(flow.imbalance()).toBeLessThanOrEqual(1.05)
  })

  test('surges of what is large move loads less than under the planner of means', () => {
    const means = rendezvousLayout(SEGMENTS, INSTANCES)
    const planner = createPlanner(SEGMENTS, INSTANCES, 'equal')
    for (let t = 0; t < 40; t++) planner.plan(skewed, means, { copies: 3, cap: SEGMENTS + 12 })
    const { layout } = run(skewed, 40, SEGMENTS + 12)
    const flow = new Flow(SEGMENTS, INSTANCES)
    const random = mulberry32(5)
    let [ours, theirs] = [0, 0]
    for (let k = 0; k < 200; k++) {
      const came = skewed.map((x) => x * (0.5 + random.uniform()))
      flow.route(came, layout, 'equal')
      ours += flow.imbalance() - 1
      flow.route(came, means, 'equal')
      theirs += flow.imbalance() - 1
    }
    expect(ours).toBeLessThan(0.8 * theirs)
  })

  test('does nothing where there is no work', () => {
    expect(run(new Float64Array(SEGMENTS), 1, SEGMENTS + 12).copies).toBe(0)
  })
})
