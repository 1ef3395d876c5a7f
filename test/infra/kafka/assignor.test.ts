import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { partitionKey, type TopicPartition } from '../../../pipelines/core/ports/index.ts'
import { assignPartitions, type GroupMember } from '../../../infra/kafka/assignor.ts'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from '../../../infra/kafka/group-protocol.ts'

const COUNTS: Readonly<Record<string, number>> = { a: 12, b: 5 }
const count = (topic: string): number => COUNTS[topic] ?? 0
const keyOf = (p: TopicPartition): string => partitionKey(p.topic, p.partition)
const everything = Object.keys(COUNTS)
  .flatMap((topic) => Array.from({ length: count(topic) }, (_, p) => partitionKey(topic, p)))
  .sort()

/** Members that have seen the last assignment, as they would join again. */
const members = (held: ReadonlyMap<string, readonly TopicPartition[]>, generationId: number): GroupMember[] =>
  [...held].map(([memberId, owned]) => ({
    memberId,
    groupInstanceId: null,
    topics: ['a', 'b'],
    owned,
    generationId,
  }))

/** Rebalances until nothing is held back any more; returns how many it took and who holds what. */
function settle(held: Map<string, readonly TopicPartition[]>): {
  rounds: number
  held: Map<string, readonly TopicPartition[]>
} {
  for (let rounds = 1; ; rounds++) {
    const next = assignPartitions('aligned', members(held, rounds), count)
    const before = held
    held = next
    const dealt = [...next.values()].flat().map(keyOf)
    expect(new Set(dealt).size).toBe(dealt.length)
    // Nobody is given what another one still works on.
    const stolen = [...next].flatMap(([id, own]) =>
      own.filter((p) =>
        [...before].some(([other, owned]) => other !== id && owned.some((q) => keyOf(q) === keyOf(p))),
      ),
    )
    expect(stolen).toEqual([])
    if (dealt.length === everything.length) return { rounds, held }
    expect(rounds).toBeLessThan(3)
  }
}

describe('assignor', () => {
  test('over joins and leaves: two rebalances at most, fair shares, aligned topics, and no more moves than needed', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(6), { minLength: 1, maxLength: 12 }), (toggles) => {
        let held = new Map<string, readonly TopicPartition[]>([['m0', []]])
        for (const n of toggles) {
          const id = `m${n}`
          const before = new Map(held)
          if (!held.has(id)) held.set(id, [])
          else if (held.size > 1) held.delete(id)
          const result = settle(held)
          held = result.held
          expect(result.rounds).toBeLessThanOrEqual(2)
          expect([...held.values()].flat().map(keyOf).sort()).toEqual(everything)
          const shares = [...held.values()].map((own) => own.filter((p) => p.topic === 'a').length)
          expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
          for (const own of held.values()) {
            const ofA = new Set(own.filter((p) => p.topic === 'a').map((p) => p.partition))
            for (const p of own) expect(ofA.has(p.partition)).toBe(true)
          }
          const fair = Math.floor(12 / held.size)
          for (const [member, own] of held) {
            const had = (before.get(member) ?? []).filter((p) => p.topic === 'a').length
            const kept = own.filter(
              (p) => p.topic === 'a' && (before.get(member) ?? []).some((q) => keyOf(q) === keyOf(p)),
            )
            expect(kept.length).toBeGreaterThanOrEqual(Math.min(had, fair))
          }
        }
      }),
      { numRuns: 60 },
    )
  })

  test('single: one member has it all and keeps it when another comes', () => {
    const first = assignPartitions('single', members(new Map([['z', []]]), 1), count)
    expect(first.get('z')?.map(keyOf).sort()).toEqual(everything)
    const both = assignPartitions('single', members(new Map([...first, ['a', []]]), 2), count)
    expect([both.get('z')?.length, both.get('a')?.length]).toEqual([everything.length, 0])
  })

  test('a claim of an earlier generation does not count against a later one', () => {
    const partition = { topic: 'b', partition: 0 }
    const base = { groupInstanceId: null, topics: ['b'] }
    const dealt = assignPartitions(
      'single',
      [
        { ...base, memberId: 'old', owned: [partition], generationId: 3 },
        { ...base, memberId: 'new', owned: [partition], generationId: 5 },
      ],
      () => 1,
    )
    expect(dealt.get('new')).toEqual([partition])
    expect(dealt.get('old')).toEqual([])
  })

  test('topics go only to members that read them', () => {
    const base = { groupInstanceId: null, owned: [], generationId: -1 }
    const dealt = assignPartitions(
      'aligned',
      [
        { ...base, memberId: 'one', topics: ['a'] },
        { ...base, memberId: 'two', topics: ['a', 'b'] },
      ],
      count,
    )
    expect(dealt.get('one')?.every((p) => p.topic === 'a')).toBe(true)
    expect(dealt.get('two')?.filter((p) => p.topic === 'b')).toHaveLength(5)
  })
})

test('subscriptions and assignments survive their encoding', () => {
  const owned = [
    { topic: 'a', partition: 3 },
    { topic: 'ü', partition: 0 },
  ]
  const subscription = { topics: ['a', 'ü'], owned, generationId: 7 }
  expect(decodeSubscription(encodeSubscription(subscription))).toEqual(subscription)
  expect(decodeAssignment(encodeAssignment(owned))).toEqual(owned)
  expect(decodeAssignment(Buffer.alloc(0))).toEqual([])
})
