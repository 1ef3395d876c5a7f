import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { churnBudget, decide, recordOf, standsAt, type Verdict, type WriteMode } from '#core/decisions'
import { type Decision, mulberry32 } from '#core/ports'
import { ack, decision, hysteresis, input, reason, type TestBody } from './fixtures.ts'

const proposal = (region: string, over = {}) => ({ body: { region }, reason: reason(over) })

test('the first decision is emitted if it gains, and only then', () => {
  expect(decide(input({}))).toMatchObject({ action: 'emit', why: 'first', mode: 'apply', canaryShare: 1 })
  const poor = proposal('west', { cost_after: 95 })
  expect(decide(input({ proposal: poor }))).toMatchObject({ action: 'keep', why: 'gain_too_small' })
  const nothing = proposal('west', { cost_now: 0, cost_after: 0 })
  expect(decide(input({ proposal: nothing }))).toMatchObject({ action: 'keep', why: 'gain_too_small' })
})

test('an unchanged decision is kept until half of its life, then renewed with the time of its change', () => {
  const standing = decision('west')
  const before = decide(input({ standing, nowMs: 1_299_999 }))
  expect(before).toMatchObject({ action: 'keep', why: 'unchanged' })
  const verdict = decide(input({ standing, nowMs: 1_300_000 }))
  expect(verdict).toMatchObject({ action: 'renew', why: 'half_of_life', notBeforeMs: 1_000_000 })
})

test('a renewal costs no churn', () => {
  const verdict = decide(input({ standing: decision('west'), nowMs: 1_300_000 }))
  expect(verdict.budget.tokens).toBe(10)
})

test('what is held back by hysteresis is still renewed, with the cost of staying', () => {
  const standing = decision('west')
  const poor = proposal('east', { cost_after: 99 })
  const verdict = decide(input({ standing, proposal: poor, nowMs: 1_300_000 }))
  expect(verdict).toMatchObject({ action: 'renew', body: { region: 'west' }, reason: { cost_after: 100 } })
})

test('a change soon after a change waits, unless the risk is urgent; a renewal does not start the wait anew', () => {
  const standing = decision('west')
  const nowMs = 1_030_000
  expect(decide(input({ standing, proposal: proposal('east'), nowMs }))).toMatchObject({
    action: 'keep',
    why: 'too_soon',
  })
  const urgent = proposal('east', { risk: 0.95 })
  expect(decide(input({ standing, proposal: urgent, nowMs }))).toMatchObject({
    action: 'emit',
    why: 'better',
  })
  const renewed = decision('west', { issuedAtMs: 1_300_000, notBeforeMs: 1_000_000, previous: standing })
  expect(decide(input({ standing: renewed, proposal: proposal('east'), nowMs: 1_310_000 }))).toMatchObject({
    action: 'emit',
    why: 'better',
  })
})

test('the churn budget bounds changes across entities; its reserve is for urgent ones', () => {
  let budget = churnBudget({ changes: 3, intervalMs: 60_000, reserve: 1, nowMs: 1_100_000 })
  const actions: string[] = []
  for (const risk of [0.1, 0.1, 0.1, 0.95, 0.95]) {
    const verdict = decide(input({ churnBudget: budget, proposal: proposal('west', { risk }) }))
    actions.push(verdict.action === 'keep' ? verdict.why : verdict.action)
    budget = verdict.budget
  }
  expect(actions).toEqual(['emit', 'emit', 'budget_spent', 'emit', 'budget_spent'])
  const later = decide(input({ churnBudget: budget, nowMs: 1_140_000 }))
  expect(later.action).toBe('emit')
})

test('an expired preference counts as the default, placement never does', () => {
  const standing = decision('west', { lifeMs: 1000 })
  expect(decide(input({ standing }))).toMatchObject({ action: 'emit', why: 'first' })
  const placed = decision('west', { lifeMs: null })
  expect(standsAt(placed, Number.MAX_SAFE_INTEGER)).toBe(true)
  expect(decide(input({ standing: placed, lifeMs: null, nowMs: 10 ** 12 }))).toMatchObject({
    action: 'keep',
    why: 'unchanged',
  })
})

test('a policy that wants the default withdraws what stands, once', () => {
  const standing = decision('west')
  const verdict = decide(input({ standing, proposal: null }))
  expect(verdict).toMatchObject({ action: 'withdraw', why: 'not_wanted', restore: null })
  expect(decide(input({ proposal: null }))).toMatchObject({ action: 'keep', why: 'nothing_stands' })
})

test('from dry run to apply the same body is written again', () => {
  const standing = decision('west', { mode: 'dry_run' })
  expect(decide(input({ standing }))).toMatchObject({ action: 'emit', why: 'mode_changed', mode: 'apply' })
  expect(decide(input({ standing, mode: { kind: 'dry_run' } }))).toMatchObject({ action: 'keep' })
})

function canaryMode(over: Partial<Extract<WriteMode<TestBody>, { kind: 'canary' }>> = {}) {
  const base = { kind: 'canary', share: 0.2, minMs: 10_000, timeoutMs: 60_000, minReports: 2 } as const
  return { ...base, acks: [], baseline: decision('west'), ...over }
}

test('a canary is promoted on reports, withdrawn on a failure or on silence', () => {
  const standing = decision('east', { mode: 'canary', canaryShare: 0.2 })
  const good = [ack(standing, 'f1', 'applied'), ack(standing, 'f2', 'applied')]
  const at = (nowMs: number, mode: WriteMode<TestBody>) => decide(input({ standing, nowMs, mode }))
  expect(at(1_005_000, canaryMode({ acks: good }))).toMatchObject({ action: 'keep', why: 'canary_running' })
  expect(at(1_010_000, canaryMode({ acks: good }))).toMatchObject({
    action: 'emit',
    why: 'canary_passed',
    mode: 'apply',
    canaryShare: 1,
  })
  const bad = [...good, ack(standing, 'f2', 'rolled_back')]
  const failed = at(1_010_000, canaryMode({ acks: bad }))
  expect(failed).toMatchObject({ action: 'withdraw', why: 'canary_failed' })
  expect(failed).toHaveProperty('restore.body.region', 'west')
  const silent = at(1_060_000, canaryMode({ acks: good.slice(1) }))
  expect(silent).toMatchObject({ action: 'withdraw', why: 'canary_silent' })
  const unrelated = good.map((a) => ({ ...a, decision_id: 'another' }))
  expect(at(1_010_000, canaryMode({ acks: unrelated }))).toMatchObject({ why: 'canary_running' })
})

test('withdrawing a canary writes what stood before, under a higher epoch; without a baseline a tombstone', () => {
  const standing = decision('east', { mode: 'canary', canaryShare: 0.2 })
  const context = {
    subsystem: 's',
    entity: 'a>b',
    previous: standing,
    issuedAtMs: 1_060_000,
    lifeMs: 600_000,
    inputs: [],
    modelVersion: 'm',
    policyVersion: 'p',
    random: mulberry32(3),
  }
  const verdict = decide(input({ standing, nowMs: 1_060_000, mode: canaryMode() }))
  const record = recordOf(verdict, context)
  expect(record).toMatchObject({ mode: 'apply', body: { region: 'west' }, supersedes: standing.decision_id })
  expect(record?.epoch).toBeGreaterThan(standing.epoch)
  const bare = decide(input({ standing, nowMs: 1_060_000, mode: canaryMode({ baseline: null }) }))
  expect(recordOf(bare, context)).toBeNull()
  expect(recordOf(decide(input({ proposal: null })), context)).toBeUndefined()
})

interface Step {
  waitMs: number
  region: string
  gain: number
  risk: number
}
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    waitMs: fc.integer({ min: 1, max: 40_000 }),
    region: fc.constantFrom('west', 'east', 'south'),
    gain: fc.double({ min: 0, max: 0.5, noNaN: true }),
    risk: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
  { minLength: 5, maxLength: 60 },
)

interface Written {
  record: Decision<TestBody>
  action: string
  risk: number
  before: Decision<TestBody> | null
  atMs: number
}

function run(plan: Step[], lifeMs: number): { written: Written[]; spanMs: number } {
  let nowMs = 1_000_000
  let budget = churnBudget({ changes: 4, intervalMs: 300_000, nowMs })
  let standing: Decision<TestBody> | null = null
  const random = mulberry32(5)
  const written: Written[] = []
  for (const step of plan) {
    nowMs += step.waitMs
    const wanted = proposal(step.region, { risk: step.risk, cost_after: 100 * (1 - step.gain) })
    const verdict: Verdict<TestBody> = decide(
      input({ standing, proposal: wanted, nowMs, churnBudget: budget, lifeMs }),
    )
    budget = verdict.budget
    const record: Decision<TestBody> | null | undefined = recordOf(verdict, {
      subsystem: 's',
      entity: 'a>b',
      previous: standing,
      issuedAtMs: nowMs,
      lifeMs,
      inputs: [],
      modelVersion: 'm',
      policyVersion: 'p',
      random,
    })
    if (record == null) continue
    written.push({ record, action: verdict.action, risk: step.risk, before: standing, atMs: nowMs })
    standing = record
  }
  return { written, spanMs: nowMs - 1_000_000 }
}

/** What is wrong with a write, given what it replaces; '' if nothing. */
function fault({ record, action, risk, before, atMs }: Written): string {
  if (before === null) return ''
  if (record.epoch <= before.epoch) return 'epoch fell back'
  if (record.supersedes !== before.decision_id) return 'supersedes another'
  if (!standsAt(before, atMs)) return 'expired although it was looked at twice in half of its life'
  const same = record.body.region === before.body.region
  if (same !== (action === 'renew')) return 'written twice'
  if (same) return record.issued_at_ms - before.issued_at_ms < 60_000 ? 'renewed early' : ''
  const sinceChangeMs = record.issued_at_ms - before.not_before_ms
  return risk < hysteresis.urgentRisk && sinceChangeMs < hysteresis.minIntervalMs ? 'too soon' : ''
}

test('whatever a policy proposes: epochs rise, nothing expires by accident, churn is bounded', () => {
  fc.assert(
    fc.property(steps, (plan) => {
      const { written, spanMs } = run(plan, 120_000)
      expect(written.map(fault).filter((f) => f !== '')).toEqual([])
      const changes = written.filter((w) => w.action === 'emit').length
      expect(changes).toBeLessThanOrEqual(4 + (4 * spanMs) / 300_000 + 1e-6)
    }),
    { numRuns: 300 },
  )
})
