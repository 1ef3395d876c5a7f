import { expect, test } from 'vitest'
import type { DataMoveState } from '#schemas'
import { ForestallError, type SegmentStore } from '#core/ports'
import {
  copyStep,
  type MovePeer,
  type StepDeps,
  verifyStep,
} from '../../../pipelines/data-sharding/moves/phases.ts'

const STATE: DataMoveState = {
  move_id: 'm',
  service: 's',
  segment: 3,
  kind: 'move',
  from: 'a',
  to: 'b',
  phase: 'verifying',
  offset: 5,
  rows: 1,
  attempt: 1,
  began_at_ms: 0,
  at_ms: 0,
  reversible_until_ms: null,
  reason: '',
}

/**
 * A replica at some offset; what is put aside is named by the offsets before and after it was. Each of the first
 * `blocks` times something is applied meanwhile, unless it is held.
 */
function replica(name: string, blocks: number, atOnce = 1) {
  const seen = { next: 7, aside: [] as string[], isHeld: false, heldTimes: 0, left: blocks, tries: 0 }
  const store: Partial<SegmentStore> = {
    discard: () => Promise.resolve(),
    stage: () => Promise.resolve(void (seen.aside = [])),
    async snapshot() {
      const before = seen.next
      await Promise.resolve()
      seen.tries++
      if (!seen.isHeld && seen.left-- > 0) seen.next += atOnce
      if (seen.isHeld) seen.heldTimes++
      seen.aside.push(`${before}-${seen.next}`)
    },
    fingerprint: () => Promise.resolve({ rows: 1, hash: seen.aside.join() }),
  }
  const applier: Partial<MovePeer['applier']> = {
    nextOf: () => seen.next,
    next: () => seen.next,
    reachedPartition(_partition, offset) {
      // What the other one has applied comes here, too.
      seen.next = Math.max(seen.next, offset)
      return Promise.resolve(true)
    },
    async between(_partition, work) {
      seen.isHeld = true
      try {
        return await work(seen.next)
      } finally {
        seen.isHeld = false
      }
    },
  }
  return { seen, peer: { name, store: store as SegmentStore, applier: applier as MovePeer['applier'] } }
}

function depsOf(from: MovePeer, to: MovePeer, onPause: (ms: number) => void): StepDeps {
  let nowMs = 0
  const signal = new AbortController().signal
  const others = (): string[] => []
  return {
    state: STATE,
    from,
    to,
    partition: 0,
    tables: [],
    signal,
    others,
    onPause,
    nowMs: () => (nowMs += 10),
  }
}

async function verify(blocksOfA: number, blocksOfB: number, atOnce = 1) {
  const [a, b] = [replica('a', blocksOfA, atOnce), replica('b', blocksOfB, atOnce)]
  const pauses: number[] = []
  const result = await verifyStep(depsOf(a.peer, b.peer, (ms) => pauses.push(ms)))
  return { result, a: a.seen, b: b.seen, pauses }
}

test('where the log leaves a gap, both are compared at one offset and nobody waits', async () => {
  const { result, a, b, pauses } = await verify(0, 0)
  expect(result.phase).toBe('switched')
  expect([a.aside, b.aside]).toEqual([['7-7'], ['7-7']])
  expect([a.heldTimes, b.heldTimes]).toEqual([0, 0])
  expect(pauses).toEqual([0])
})

test.each([
  [2, 0],
  [0, 3],
  [2, 1],
])('what was put aside while something was applied is put aside anew: %i and %i blocks', async (ofA, ofB) => {
  const { result, a, b, pauses } = await verify(ofA, ofB)
  expect(result.phase).toBe('switched')
  expect(a.aside).toEqual([`${a.next}-${a.next}`])
  expect(b.aside).toEqual(a.aside)
  expect([a.heldTimes, b.heldTimes]).toEqual([0, 0])
  expect(pauses).toEqual([0])
})

test('where the log leaves no gap, both are held, and the wait is told', async () => {
  const { result, a, b, pauses } = await verify(1000, 1000)
  expect(result.phase).toBe('switched')
  expect([a.heldTimes, b.heldTimes]).toEqual([1, 1])
  expect(b.aside).toEqual(a.aside)
  expect(pauses).toEqual([10])
})

test('a log that goes on fast is not waited for', async () => {
  const { result, a, b, pauses } = await verify(1000, 1000, 50)
  expect(result.phase).toBe('switched')
  expect([a.tries, b.tries]).toEqual([2, 2])
  expect([a.heldTimes, b.heldTimes]).toEqual([1, 1])
  expect(pauses).toEqual([10])
})

test('an instance that has not answered yet is not taken for one without the segment', async () => {
  const away = replica('a', 0).peer
  const refuse = (): Promise<never> => Promise.reject(new ForestallError('WAREHOUSE_UNAVAILABLE', 'Away.'))
  const silent = { ...away, applier: { ...away.applier, nextOf: () => -1, between: refuse } }
  const here = replica('b', 0).peer
  const holder = (holds: boolean): MovePeer => ({
    ...here,
    applier: { ...here.applier, nextOf: () => (holds ? 7 : -1) },
  })
  const copy = (from: MovePeer, to: MovePeer) => copyStep(depsOf(from, to, () => undefined))
  await expect(copy(silent, holder(false))).rejects.toThrow('Away.')
  await expect(copy(holder(true), silent)).rejects.toThrow('Away.')
  expect(await copy(holder(false), holder(false))).toMatchObject({ phase: 'failed' })
  expect(await copy(holder(true), holder(true))).toMatchObject({ phase: 'failed' })
})
