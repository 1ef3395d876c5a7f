import { expect, test } from 'vitest'
import { decisionBook, type DecisionBook, DEFAULT_DECISION_SETTINGS } from '#core/decisions'
import { type Decision, manualClock } from '#core/ports'
import { decision, hysteresis, reason, type TestBody } from './fixtures.ts'

type Bodies = { readonly routes: TestBody }

const wish = (region: string) => ({
  body: { region },
  reason: reason(),
  lifeMs: 600_000,
  modelVersion: 'm1',
  hysteresis,
})

/** A book over what stands, and what was written in it. */
async function openBook(
  standing: readonly Decision<TestBody>[],
  over: { changes?: number; time?: 'event' } = {},
) {
  const clock = manualClock(2_000_000)
  const written: { entity: string; value: Decision<TestBody> | null }[] = []
  const book: DecisionBook<Bodies> = decisionBook<Bodies>({
    subsystem: 'sub',
    policyVersion: 'p1',
    settings: { ...DEFAULT_DECISION_SETTINGS, time: over.time ?? 'wall' },
    clock,
    readStanding: async () => ({ routes: new Map(standing.map((held) => [held.entity, held])) }),
    ...(over.changes === undefined ? {} : { churn: { changes: over.changes, intervalMs: 1e9 } }),
  })
  await book.live()
  const at = (timeMs = 1_000) => {
    const round = { timeMs, inputs: [{ topic: 't', partition: 0, offset: 5 }] }
    const emit = (_: string, entity: string, value: object | null) =>
      void written.push({ entity, value: value as Decision<TestBody> | null })
    return { round, out: { emit }, nowMs: book.nowMs(round) }
  }
  return { book, clock, written, at }
}

test('what is written stands, supersedes what stood, and says what it rests on', async () => {
  const before = decision('west', { entity: 'a' })
  const { book, written, at } = await openBook([before])
  book.write(at(), 'routes', 'a', wish('east'))
  expect(written[0]!.value).toMatchObject({
    subsystem: 'sub',
    entity: 'a',
    supersedes: before.decision_id,
    issued_at_ms: 2_000_000,
    expires_at_ms: 2_600_000,
    inputs: [{ topic: 't', partition: 0, offset: 5 }],
    body: { region: 'east' },
  })
  expect(written[0]!.value!.epoch).toBeGreaterThan(before.epoch)
  expect(book.standing('routes').get('a')).toBe(written[0]!.value)
})

test('first decisions are free of the churn budget, changes are not', async () => {
  const held = ['a', 'b'].map((entity) => decision('west', { entity, issuedAtMs: 1_900_000 }))
  const { book, written, at } = await openBook(held, { changes: 1 })
  for (const entity of ['c', 'd', 'a', 'b']) book.propose(at(), 'routes', entity, wish('east'))
  expect(written.map(({ entity }) => entity)).toEqual(['c', 'd', 'a'])
})

test('the same plan is not written twice, and renewed at half of its life', async () => {
  const { book, clock, written, at } = await openBook([])
  book.propose(at(), 'routes', 'a', wish('east'))
  book.propose(at(), 'routes', 'a', wish('east'))
  expect(written).toHaveLength(1)
  clock.set(2_300_000)
  book.propose(at(), 'routes', 'a', wish('east'))
  expect(written).toHaveLength(2)
  expect(written[1]!.value).toMatchObject({ not_before_ms: 2_000_000, expires_at_ms: 2_900_000 })
})

test('a replay of the past dates decisions by its rounds, and the same round gives the same ids', async () => {
  const run = async () => {
    const { book, written, at } = await openBook([], { time: 'event' })
    book.write(at(70_000), 'routes', 'a', wish('east'))
    return written[0]!.value!
  }
  const first = await run()
  expect(first.issued_at_ms).toBe(70_000)
  expect(await run()).toEqual(first)
})
