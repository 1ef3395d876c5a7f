import { describe, expect, test } from 'vitest'
import { World } from '../../pipelines/traffic-routing/world.ts'
import { regionRow, streamRow, tinyConfig } from './chain.ts'

const ringAt = (bin: number): number[] => Array.from({ length: 64 }, (_, i) => (i === bin ? 100 : 0))

describe('demand', () => {
  test('is by pair of the network; a stream without a row carried nothing, an unknown one is left out', () => {
    const world = new World(tinyConfig())
    expect([...world.observe([streamRow('a>web', 5), streamRow('b>api', 7)], [])]).toEqual([5, 7])
    expect([...world.observe([streamRow('b>api', 8), streamRow('x>y', 9)], [])]).toEqual([0, 8])
    expect(world.windows).toBe(2)
    expect(world.pairOf('x>y')).toBeUndefined()
  })

  test('is kept for as many windows as configured', () => {
    const world = new World(tinyConfig({ historyWindows: 3 }))
    for (let w = 0; w < 5; w++) world.observe([streamRow('a>web', w)], [])
    expect(world.history.map((demand) => demand[0])).toEqual([2, 3, 4])
    expect(world.windows).toBe(5)
  })
})

describe('where the bytes lie on the ring', () => {
  test('is even where nothing is known, and adds up at every node of the tree', () => {
    const world = new World(tinyConfig())
    const even = world.shares(0)
    expect(even[1]).toBeCloseTo(1, 9)
    expect(even[2]).toBeCloseTo(0.5, 9)
    world.observe([{ ...streamRow('a>web', 100), ring_bytes: ringAt(63) }], [])
    const tree = world.shares(0)
    expect([tree[1], tree[2], tree[3]].map((x) => Math.round(1e9 * x!) / 1e9)).toEqual([1, 0, 1])
    for (let node = 1; node < tree.length / 2; node++)
      expect(tree[node]).toBeCloseTo(tree[2 * node]! + tree[2 * node + 1]!, 12)
  })

  test('is forgotten slowly', () => {
    const world = new World(tinyConfig())
    const see = (bin: number) => world.observe([{ ...streamRow('a>web', 100), ring_bytes: ringAt(bin) }], [])
    see(0)
    see(63)
    expect(world.shares(0)[2]).toBeGreaterThan(0.45)
    for (let w = 0; w < 200; w++) see(63)
    expect(world.shares(0)[2]).toBeLessThan(0.02)
  })
})

describe('regions', () => {
  const ill = { loss_ratio_mean: 0.2, up_ratio: 0.5, rtt_ms_mean: 162 }

  test('what probes lose is taken off the last link of the paths into the region, and the delay added', () => {
    const world = new World(tinyConfig())
    world.observe([], [regionRow('east'), regionRow('west')])
    const calm = world.network()
    world.observe([], [regionRow('east', ill), regionRow('west')])
    const now = world.network()
    // 0.5 x 0.8 = 0.4 of what it announced; 160 ms more there and back.
    expect(world.health('east')).toEqual({ capacityShare: 0.4, addedMs: 160 })
    const east = now.linkNames.indexOf('east')
    expect(now.capacity[east]).toBeCloseTo(0.4 * calm.capacity[east]!, 9)
    expect(now.latencyMs[0]! - calm.latencyMs[0]!).toBe(80)
    const others = [...now.capacity].filter((_, link) => link !== east)
    expect(others).toEqual([...calm.capacity].filter((_, link) => link !== east))
  })

  test('a region that serves nothing keeps a hundredth, so that plans exist', () => {
    const world = new World(tinyConfig())
    world.observe([], [regionRow('east')])
    world.observe([], [regionRow('east', { up_ratio: 0 })])
    expect(world.health('east').capacityShare).toBe(0.01)
  })

  test('less capacity than once announced counts, although all probes are answered', () => {
    const world = new World(tinyConfig())
    world.observe([], [regionRow('east')])
    world.observe([], [regionRow('east', { capacity_bytes_per_second_min: 500 })])
    expect(world.health('east').capacityShare).toBe(0.5)
  })

  test('the key of their health changes by steps only', () => {
    const world = new World(tinyConfig())
    world.observe([], [regionRow('east')])
    const calm = world.healthKey()
    world.observe([], [regionRow('east', { rtt_ms_mean: 6, loss_ratio_mean: 0.01 })])
    expect(world.healthKey()).toBe(calm)
    world.observe([], [regionRow('east', ill)])
    expect(world.healthKey()).not.toBe(calm)
  })

  test('without probes a region is taken to be well', () => {
    expect(new World(tinyConfig()).health('east')).toEqual({ capacityShare: 1, addedMs: 0 })
  })
})

test('a snapshot brings all of it back', () => {
  const config = tinyConfig()
  const world = new World(config)
  for (let w = 0; w < 5; w++) {
    const rows = [{ ...streamRow('a>web', 64 + w), ring_bytes: ringAt(w) }, streamRow('b>api', 32)]
    world.observe(rows, [regionRow('east', w === 4 ? { up_ratio: 0.5 } : {}), regionRow('west')])
  }
  const restored = new World(config)
  restored.restore(world.snapshot())
  expect(restored.windows).toBe(5)
  expect(restored.history).toEqual(world.history)
  expect(restored.healthKey()).toBe(world.healthKey())
  expect(restored.network()).toEqual(world.network())
  world.shares(0).forEach((share, node) => expect(restored.shares(0)[node]).toBeCloseTo(share, 6))
  expect(Buffer.from(restored.snapshot()).equals(Buffer.from(world.snapshot()))).toBe(true)
})
