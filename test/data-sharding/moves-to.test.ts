import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { movesTo } from '../../pipelines/data-sharding/moves/decision-applier.ts'

const names = fc.uniqueArray(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { minLength: 1 })

test('moves lead from any readers to any others, and never take the last away', () => {
  fc.assert(
    fc.property(names, names, (readers, wanted) => {
      const now = new Set<string>(readers)
      for (const { kind, from, to } of movesTo(readers, wanted)) {
        expect(now.has(from)).toBe(true)
        if (kind !== 'drop') now.add(to)
        if (kind !== 'copy') now.delete(from)
        expect(now.size).toBeGreaterThan(0)
      }
      expect([...now].sort()).toEqual([...wanted].sort())
    }),
  )
})

test('what stands needs no moves; one for one is a move', () => {
  expect(movesTo(['a', 'b'], ['b', 'a'])).toEqual([])
  expect(movesTo(['a'], ['b'])).toEqual([{ kind: 'move', from: 'a', to: 'b' }])
})
