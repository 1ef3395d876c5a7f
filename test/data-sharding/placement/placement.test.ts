import { array, assert, double, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  approach,
  createPlanner,
  distance,
  Flow,
  h32,
  hotReplicas,
  Layout,
  rendezvousLayout,
  ringLayout,
  Spreader,
} from '../../../pipelines/data-sharding/placement/index.ts'

const SEGMENTS = 24
const INSTANCES = 4
const loads = array(double({ min: 0, max: 100, noNaN: true }), {
  minLength: SEGMENTS,
  maxLength: SEGMENTS,
})

function expectSound(layout: Layout, cap: number): void {
  let total = 0
  for (let s = 0; s < layout.segments; s++) {
    expect(layout.holders(s).length).toBe(layout.count[s])
    expect(layout.count[s]).toBeGreaterThanOrEqual(1)
    total += layout.count[s]!
  }
  expect(layout.total).toBe(total)
  expect(total).toBeLessThanOrEqual(cap)
}

test('the hash is the one of the protocol', () => {
  expect(h32('k0')).toBe(1658131891)
})

test('rendezvous hashing moves only what a new instance takes', () => {
  const before = rendezvousLayout(256, 8)
  const after = rendezvousLayout(256, 9)
  let moved = 0
  for (let s = 0; s < 256; s++) {
    const [now] = after.holders(s)
    if (before.holders(s)[0] === now) continue
    expect(now).toBe(8)
    moved++
  }
  expect(moved).toBeGreaterThan(0)
  expect(moved).toBeLessThan(256 / 4)
})

describe('routing', () => {
  test.each(['equal', 'live'] as const)('%s: all work is served, by instances that hold it', (routing) => {
    assert(
      property(loads, (work) => {
        const layout = hotReplicas(work, INSTANCES, SEGMENTS + 8)
        const flow = new Flow(SEGMENTS, INSTANCES)
        flow.route(work, layout, routing)
        const total = work.reduce((a, b) => a + b, 0)
        expect(flow.loads.reduce((a, b) => a + b, 0)).toBeCloseTo(total, 6)
        flow.shares.forEach((share, at) => {
          expect(share * (1 - layout.has[at]!)).toBe(0)
          expect(share).toBeGreaterThanOrEqual(-1e-9)
        })
      }),
    )
  })

  test('live routing pours a segment to one level on instances that it can lift to it', () => {
    const layout = new Layout(2, 2)
    layout.add(0, 0)
    layout.add(1, 0)
    layout.add(1, 1)
    const flow = new Flow(2, 2)
    flow.route([4, 10], layout, 'live')
    expect([...flow.loads]).toEqual([7, 7])
  })
})

describe('planners keep their limits and never lose a segment', () => {
  test.each(['equal', 'live'] as const)('%s', (routing) => {
    assert(
      property(array(loads, { minLength: 1, maxLength: 6 }), (steps) => {
        const cap = SEGMENTS + 5
        const planner = createPlanner(SEGMENTS, INSTANCES, routing)
        const spreader = new Spreader(SEGMENTS, INSTANCES, routing)
        const layout = ringLayout(SEGMENTS, INSTANCES)
        for (const work of steps) {
          const before = layout.clone()
          let copies = planner.plan(work, layout, { copies: 3, cap })
          copies += spreader.spread(work, layout, { copies: 3 - copies, cap })
          expect(copies).toBeLessThanOrEqual(3)
          expect(distance(before, layout)).toBeLessThanOrEqual(copies)
          expectSound(layout, cap)
        }
      }),
      { numRuns: 40 },
    )
  })

  test('a layout gets to another within its copies, soundly on every step', () => {
    assert(
      property(loads, loads, (a, b) => {
        const cap = SEGMENTS + 6
        const layout = hotReplicas(a, INSTANCES, cap)
        const target = hotReplicas(b, INSTANCES, cap)
        for (let k = 0; k < 40; k++) {
          const left = distance(layout, target)
          const copies = approach(b, layout, target, { copies: 2, cap })
          expect(copies).toBeLessThanOrEqual(2)
          expectSound(layout, cap)
          expect(distance(layout, target)).toBeLessThanOrEqual(Math.max(0, left - 1))
        }
        expect(layout.has).toEqual(target.has)
      }),
      { numRuns: 25 },
    )
  })
})
