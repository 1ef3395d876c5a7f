import { expect, test } from 'vitest'
import { longPlan, shortPlan } from '../../../jobs/chaos/plans.ts'
import { type ChaosPlan, killsOf } from '../../../jobs/chaos/schedule.ts'
import { planInWords } from '../../../jobs/chaos/words.ts'

const faultsOf = (plan: ChaosPlan) => plan.lanes.flatMap(({ faults }) => faults)
const kindsOf = (plan: ChaosPlan) => new Set(faultsOf(plan).map(({ kind }) => kind))
const EVERY_KIND = [
  'disk full',
  'kill broker',
  'kill clickhouse',
  'kill worker',
  'network',
  'registry down',
  'stop worker',
]

test('a seed gives the same schedule again, another seed another one', () => {
  for (const brokers of [1, 3] as const) {
    expect(shortPlan({ seed: 3, brokers })).toEqual(shortPlan({ seed: 3, brokers }))
    expect(shortPlan({ seed: 3, brokers })).not.toEqual(shortPlan({ seed: 4, brokers }))
    const long = { seed: 3, brokers, kills: 50 }
    expect(longPlan(long)).toEqual(longPlan(long))
    expect(longPlan(long)).not.toEqual(longPlan({ ...long, seed: 4 }))
  }
})

test.for([1, 20, 199, 200] as const)('a long schedule has as many kills as asked for: %i', (kills) => {
  expect(killsOf(longPlan({ seed: 7, brokers: 1, kills }))).toBe(kills)
  expect(killsOf(longPlan({ seed: 7, brokers: 3, kills }))).toBe(kills)
})

test('every kind of fault is in the short schedule and in the long one', () => {
  expect([...kindsOf(shortPlan({ seed: 5, brokers: 1 }))].sort()).toEqual(EVERY_KIND)
  expect([...kindsOf(longPlan({ seed: 5, brokers: 1, kills: 200 }))].sort()).toEqual(EVERY_KIND)
  expect(kindsOf(longPlan({ seed: 5, brokers: 3, kills: 200 }))).toContain('stop broker')
  const networks = faultsOf(longPlan({ seed: 5, brokers: 3, kills: 200 })).flatMap((fault) =>
    fault.kind === 'network' ? [fault.fault.kind] : [],
  )
  expect([...new Set(networks)].sort()).toEqual(['bandwidth', 'cut', 'half-open', 'latency', 'reset'])
})

test('on three brokers each role is killed in turn; ClickHouse is away for a minute once', () => {
  const faults = faultsOf(longPlan({ seed: 9, brokers: 3, kills: 200 }))
  const roles = faults.flatMap((fault) => (fault.kind === 'kill broker' ? [fault.role] : []))
  expect(roles).toHaveLength(60)
  expect(roles.slice(0, 5)).toEqual([
    'leader',
    'group coordinator',
    'transaction coordinator',
    'controller',
    'any',
  ])
  expect(faults.filter(({ kind, forMs }) => kind === 'kill clickhouse' && forMs === 60_000)).toHaveLength(1)
})

test('a schedule in words: lane by lane, what to whom, when and for how long', () => {
  expect(planInWords(shortPlan({ seed: 11, brokers: 3 }))).toMatchInlineSnapshot(`
    [
      "  w0:",
      "    after 6.1 s of streaming: kill -9 worker w0, for 0.8 s",
      "  kafka:",
      "    after 2.2 s: kill -9 broker (leader), for 0.6 s",
      "    after 2.1 s: kill -9 broker (group coordinator), for 0.1 s",
      "    after 2.2 s: kill -9 broker (transaction coordinator), for 0.5 s",
      "  network of w0:",
      "    after 2.5 s: network between w0 and broker 2: reset after 3225 bytes, for 1.8 s",
    ]
  `)
})
