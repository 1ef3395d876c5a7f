import { describe, expect, test } from 'vitest'
import { manualClock } from '#core/ports'
import { describe as describeTopology, type Topology } from '#core/runtime'
import { createInlineSolver } from '#infra/solver'
import {
  DEFAULT_TRAFFIC_CONFIG,
  decisionsTopology,
  featuresTopology,
  forecastsTopology,
  trafficConfig,
} from '#traffic-routing'
import { tinyConfig, tinyNetwork } from './chain.ts'

// Names are contracts: groups, transactional ids, internal topics and snapshots. A change here starts those anew.
describe('the topologies are as the golden files say', () => {
  const config = trafficConfig({ network: tinyNetwork() })
  const decisions = async (): Promise<Topology> =>
    decisionsTopology(config, {
      clock: manualClock(),
      solvers: { inline: await createInlineSolver() },
      readStanding: async () => ({ routes: new Map(), shards: new Map() }),
    })
  test.each<[string, () => Topology | Promise<Topology>]>([
    ['traffic.features', () => featuresTopology(config)],
    ['traffic.forecasts', () => forecastsTopology(config)],
    ['traffic.decisions', decisions],
  ])('%s', async (name, make) => {
    const topology = await make()
    expect(topology.name).toBe(name)
    await expect(describeTopology(topology)).toMatchFileSnapshot(`../golden/topologies/${name}.txt`)
  })
})

describe('what is wrong with a configuration is said with field, value and cure', () => {
  const errorOf = (make: () => unknown): unknown => {
    try {
      return make()
    } catch (error) {
      return error
    }
  }

  test.each([
    ['windowMs', { windowMs: 0 }, 'windowMs = 0', 'above 0'],
    ['graceMs', { graceMs: -1 }, 'graceMs = -1', '0 or more'],
    ['draws', { draws: Number.NaN }, 'draws = null', 'above 0'],
    ['routeLifeMs', { routeLifeMs: 1500 }, 'routeLifeMs = 1500', 'two windows (2000 ms)'],
    ['publishSteps', { publishSteps: [1, 13] }, 'publishSteps = [1,13]', 'horizon (12)'],
    ['criticalStreams', { criticalStreams: ['c>web'] }, '"c>web"', 'stream of the network'],
    ['streamLimits', { streamLimits: { 'x>y': 5 } }, '"x>y"', 'stream of the network'],
  ])('%s', (_field, over, value, cure) => {
    expect(errorOf(() => tinyConfig(over))).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(value) as string,
      cure: expect.stringContaining(cure) as string,
    })
  })

  test('policies that cannot hold together are refused before anything runs', () => {
    expect(errorOf(() => tinyConfig({ shards: { minRegions: 4 } }))).toMatchObject({
      code: 'POLICY_CONTRADICTS',
      message: expect.stringContaining('minRegions = 4') as string,
      cure: expect.stringMatching(/.+/) as string,
    })
    expect(tinyConfig({ shards: { minRegions: 3 } }).shards.minRegions).toBe(3)
  })

  test('what is not given keeps its default', () => {
    const config = trafficConfig({ network: tinyNetwork() })
    expect({ ...config, network: null }).toEqual({ ...DEFAULT_TRAFFIC_CONFIG, network: null })
  })
})
