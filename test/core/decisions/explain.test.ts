import { expect, test } from 'vitest'
import { explainDecision } from '#core/decisions'
import { ack, decision } from './fixtures.ts'

const of = decision('west', { inputs: [{ topic: 'risks.traffic', partition: 0, offset: 41 }] })

test('says why, what not acting would have cost, and what each follower did last', () => {
  const acks = [
    ack(of, 'proxy-2', 'applied', 1_000_020, { weight: '200' }),
    ack(of, 'proxy-1', 'accepted', 1_000_010),
    ack(of, 'proxy-1', 'rejected', 1_000_030, { reason: 'no such backend' }),
    { ...ack(of, 'proxy-3', 'applied'), decision_id: 'another' },
  ]
  const { text, json } = explainDecision(of, acks)
  expect(json.saving).toBe(50)
  expect(json.followers.map((f) => [f.follower, f.state, f.delay_ms])).toEqual([
    ['proxy-1', 'rejected', 30],
    ['proxy-2', 'applied', 20],
  ])
  expect(text.split('\n')).toEqual([
    `Decision ${of.decision_id} about a>b, epoch 1000000`,
    '  issued 1970-01-01T00:16:40.000Z, expires 1970-01-01T00:26:40.000Z',
    '  risk 0.3; forecast q10 1, q50 2, q90 3',
    '  cost of not acting 100, of acting 50: saves 50',
    '  because load of west rises',
    '  model m1, policy p1',
    '  rests on risks.traffic partition 0 up to offset 41',
    '  proxy-1: rejected after 30 ms (reason=no such backend)',
    '  proxy-2: applied after 20 ms (weight=200)',
  ])
})

test('says so when nobody has reported, and leaves forecasts of other entities out', () => {
  const forecast = {
    scope: 'default',
    entity: 'a>b',
    metric: 'bytes_per_second',
    issued_at_ms: 0,
    target_ms: 60_000,
    horizon_ms: 60_000,
    q025: 1,
    q10: 2,
    q50: 3.14159,
    q90: 4,
    q975: 5,
    q99: 6,
    model: 'naive',
    model_version: '7',
    seasonal_naive: null,
    scale: null,
  }
  const { text, json } = explainDecision(
    decision('west', { lifeMs: null, mode: 'dry_run' }),
    [],
    [forecast, { ...forecast, entity: 'c>d' }],
  )
  expect(json.forecasts).toHaveLength(1)
  expect(text).toContain('(dry_run)')
  expect(text).toContain('stands until superseded')
  expect(text).toContain(
    'forecast bytes_per_second for 1970-01-01T00:01:00.000Z: q50 3.142 (2 to 4), naive 7',
  )
  expect(text).toContain('no follower has reported')
})
