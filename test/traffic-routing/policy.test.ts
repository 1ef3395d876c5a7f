import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Risk, RouteBody, Scenario, Shard } from '#schemas'
import type { LinearSolver } from '#core/ports'
import { createInlineSolver } from '#infra/solver'
import type { TrafficConfig } from '#traffic-routing'
import {
  createTrafficPolicy,
  standingSplits,
  type TrafficPolicy,
} from '../../pipelines/traffic-routing/policy.ts'
import { World } from '../../pipelines/traffic-routing/world.ts'
import { regionRow, START_MS, streamRow, tinyConfig } from './chain.ts'

let inline: LinearSolver
beforeAll(async () => {
  inline = await createInlineSolver()
})

/** A policy that has seen `windows` windows of the same demands. */
function policyAfter(
  windows: number,
  bytes: Record<string, number>,
  over: Partial<TrafficConfig> = {},
): { config: TrafficConfig; world: World; policy: TrafficPolicy } {
  const config = tinyConfig(over)
  const world = new World(config)
  const policy = createTrafficPolicy(config, world, { inline })
  for (let w = 0; w < windows; w++) {
    const streams = Object.entries(bytes).map(([stream, value]) => streamRow(stream, value))
    policy.observed(
      world.observe(
        streams,
        ['east', 'west', 'south'].map((region) => regionRow(region)),
      ),
    )
  }
  return { config, world, policy }
}

const riskOf = (entity: string, probability: number): Risk => ({
  scope: 'default',
  entity,
  metric: 'bytes_per_second',
  issued_at_ms: START_MS,
  horizon_ms: 12_000,
  probability,
  limit: 1,
  q10: 0,
  q50: 0,
  q90: 0,
  anomaly_score: 0,
  anomaly_direction: 0,
  anomaly_metric: '',
  drivers: [],
  model_version: '1',
})

const risks = (a: number, b = 0) =>
  new Map([
    ['a>web', riskOf('a>web', a)],
    ['b>api', riskOf('b>api', b)],
  ])

const isWithin = (inner: Shard, outer: Shard): boolean =>
  inner.depth >= outer.depth && inner.prefix >>> (inner.depth - outer.depth) === outer.prefix

const scenario = (entity: string, draws: number[]): Scenario => ({
  scope: 'default',
  entity,
  metric: 'bytes_per_second',
  issued_at_ms: START_MS,
  target_ms: START_MS + 1000,
  draws,
  origins: draws.map((_, k) => START_MS - 1000 * k),
})

const weightOf = (bodies: readonly RouteBody[], stream: string, region: string): number =>
  bodies
    .find((body) => body.stream === stream)!
    .paths.filter((path) => path.region === region)
    .reduce((sum, path) => sum + path.weight, 0)

describe('shards', () => {
  test('a rise in risk only splits: every shard lies within one that stood', () => {
    const { policy } = policyAfter(20, { 'a>web': 600, 'b>api': 300 }, { shards: { cap: 0.1 } })
    const probability = fc.double({ min: 0, max: 1, noNaN: true })
    fc.assert(
      fc.property(probability, probability, (p, q) => {
        const [low, high] = p < q ? [p, q] : [q, p]
        const before = policy.shards(risks(low), new Map())
        const standing = new Map(
          ['a>web', 'b>api'].map((stream, k) => [stream, { stream, shards: before[k]! }] as const),
        )
        const after = policy.shards(risks(high), standing)
        for (const shard of after[0]!) expect(before[0]!.some((old) => isWithin(shard, old))).toBe(true)
        expect(after[1]).toEqual(before[1])
      }),
    )
    expect(policy.shards(risks(1), new Map())[0]!.length).toBeGreaterThan(
      policy.shards(risks(0), new Map())[0]!.length,
    )
  })

  test('cost of a cut: what lies above the cap, in percent of all traffic', () => {
    const { policy } = policyAfter(
      20,
      { 'a>web': 500, 'b>api': 500 },
      { shards: { cap: 0.2, riskShrink: 0.5 } },
    )
    const half = { depth: 1, priority: 5, critical: false, min_regions: 1, share: 0.5 }
    const cut: Shard[] = [0, 1].map((prefix) => ({ ...half, prefix, shard_id: `a>web/1/${prefix}` }))
    // Half of the traffic in two halves: 0.25 each against a cap of 0.2, or 0.1 at full risk.
    expect(policy.shardCost(cut, 0, 0)).toBeCloseTo(100 * 2 * 0.05, 2)
    expect(policy.shardCost(cut, 0, 1)).toBeCloseTo(100 * 2 * 0.15, 2)
  })

  test('a critical stream is cut deeper, and comes first', () => {
    const { policy } = policyAfter(
      5,
      { 'a>web': 10, 'b>api': 10 },
      { criticalStreams: ['a>web'], shards: { cap: 1 } },
    )
    const [critical, other] = policy.shards(new Map(), new Map())
    expect(critical!.length).toBe(8)
    expect(critical!.every((shard) => shard.critical && shard.priority === 0)).toBe(true)
    expect(other).toHaveLength(1)
  })
})

describe('routes', () => {
  test('nothing is known: every stream takes its default path', async () => {
    const { policy, config } = policyAfter(0, {})
    const { bodies, plan } = await policy.routes([], [[], []], new Map())
    expect(plan.candidate).toBe('static')
    expect([...plan.splits]).toEqual([...standingSplits(config.network, new Map())])
    expect(bodies.map((body) => body.region_owner)).toEqual(['east', 'west'])
  })

  test('a stream that outgrows its region spreads after three windows, and joint draws are costed', async () => {
    const { policy } = policyAfter(3, { 'a>web': 1400, 'b>api': 100 })
    const draws = [scenario('a>web', [1300, 1400, 1500]), scenario('b>api', [100, 90, 110])]
    const { bodies, plan } = await policy.routes(draws, [[], []], new Map())
    expect(weightOf(bodies, 'a>web', 'east')).toBeLessThan(0.8)
    expect(plan.costAfter).toBeLessThan(0.5 * plan.costNow)
  })

  test('the owner stays while it carries at least half of what the largest does', async () => {
    const { policy } = policyAfter(10, { 'a>web': 1400, 'b>api': 100 })
    const standing = (owner: string): Map<string, RouteBody> =>
      new Map([['a>web', { stream: 'a>web', paths: [], assignments: [], region_owner: owner }]])
    const proposal = await policy.routes([], [[], []], standing('east'))
    const largest = Math.max(...proposal.bodies[0]!.paths.map((path) => path.weight))
    for (const region of ['east', 'west', 'south']) {
      const { bodies } = await policy.routes([], [[], []], standing(region))
      const held = weightOf(bodies, 'a>web', region)
      const owner = bodies[0]!.region_owner
      expect(owner === region).toBe(held >= largest / 2)
      expect(weightOf(bodies, 'a>web', owner)).toBeGreaterThanOrEqual(largest / 2)
    }
  })

  test('standing routes over a path that the network no longer has count as the default', () => {
    const { config } = policyAfter(0, {})
    const body = (path_id: string): RouteBody => ({
      stream: 'a>web',
      paths: [{ path_id, region: 'west', weight: 1 }],
      assignments: [],
      region_owner: 'west',
    })
    const splits = (id: string) => [...standingSplits(config.network, new Map([['a>web', body(id)]]))]
    expect(splits('a>web#1')).toEqual([0, 1, 0, 1, 0, 0])
    expect(splits('a>web#9')).toEqual([1, 0, 0, 1, 0, 0])
  })
})
