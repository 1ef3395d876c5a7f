import { expect, test } from 'vitest'
import {
  createPlacementTable,
  createQueryPlanner,
  createStatementRouter,
} from '../../../pipelines/data-sharding/router/index.ts'

const byNumber = (a: number, b: number): number => a - b

test('parts are dealt out evenly, each segment once, and past instances that do not answer', () => {
  const names = ['a', 'b', 'c']
  const placement = createPlacementTable(6, names)
  for (let s = 0; s < 6; s++) {
    const replicas = [names[s % 3] ?? '', names[(s + 1) % 3] ?? '']
    placement.set(
      s,
      replicas.map((instance) => ({ instance, weight: 0.5 })),
    )
  }
  const router = createStatementRouter({
    segments: 6,
    tables: [{ database: 'shop', table: 'orders', keyColumn: 'customer', keyType: 'string' }],
    fanOut: 'all',
    changes: 'refuse',
    expressions: 'refuse',
  })
  const out = new Set<number>()
  const planner = createQueryPlanner(
    router,
    placement,
    () => [0, 1, 2],
    0,
    (i) => out.has(i),
  )
  const partsOf = (): Map<number, readonly number[]> => {
    const sql = 'SELECT * FROM orders FORMAT TSV'
    const plan = planner.plan({ sql, database: 'shop', params: new Map(), keys: null, sendsChanges: false })
    if (plan.kind !== 'parts') throw new Error(plan.kind)
    expect(plan.format).toBe('TSV')
    return new Map(plan.parts.map(({ instance, segments }) => [instance, segments]))
  }
  const whole = partsOf()
  expect([...whole.values()].flat().sort(byNumber)).toEqual([0, 1, 2, 3, 4, 5])
  expect([...whole.values()].map((list) => list.length)).toEqual([2, 2, 2])
  out.add(1)
  const rest = partsOf()
  expect([...rest.values()].flat().sort(byNumber)).toEqual([0, 1, 2, 3, 4, 5])
  expect([...rest.keys()].sort(byNumber)).toEqual([0, 2])
  // What lies nowhere else is asked for where it lies.
  out.add(2)
  expect(partsOf().size).toBe(3)
})
