import { describe, expect, test } from 'vitest'
import { manualClock } from '#core/ports'
import { describe as describeTopology } from '#core/runtime'
import { decisionsTopology, featuresTopology, forecastsTopology } from '#data-sharding'
import { tinyConfig } from './chain.ts'

const NAMES = ['data.features', 'data.forecasts', 'data.decisions']

// Names are contracts: groups, transactional ids, internal topics and snapshots. A change here starts those anew.
describe('the topologies are as the golden files say', () => {
  const config = tinyConfig()
  const readStanding = async () => ({ shards: new Map(), scale: new Map() })
  const topologies = [
    featuresTopology(config),
    forecastsTopology(config),
    decisionsTopology(config, { clock: manualClock(), readStanding }),
  ]
  test.each(NAMES.map((name, i) => [name, i] as const))('%s', async (name, i) => {
    const topology = topologies[i]!
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
  const service = tinyConfig().services[0]!

  test.each([
    ['windowMs', { windowMs: 0 }, 'windowMs = 0', 'above 0'],
    ['graceMs', { graceMs: -1 }, 'graceMs = -1', '0 or more'],
    ['services', { services: [] }, 'services = []', 'at least one'],
    ['name', { services: [{ ...service, service: 'a|b' }] }, '"a|b"', 'without |'],
    ['instances', { services: [{ ...service, instances: ['a', 'a'] }] }, '["a","a"]', 'different'],
    ['replicas', { services: [{ ...service, replicas: 9 }] }, 'replicas = 9', 'number of instances (4)'],
    ['capacity', { services: [{ ...service, capacity: 0 }] }, 'capacity = 0', 'above 0'],
    ['minInstances', { services: [{ ...service, minInstances: 9 }] }, 'minInstances = 9', 'maxInstances'],
  ])('%s', (_field, over, value, cure) => {
    expect(errorOf(() => tinyConfig(over))).toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(value) as string,
      cure: expect.stringContaining(cure) as string,
    })
  })
})
