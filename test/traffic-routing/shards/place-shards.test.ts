import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mulberry32 } from '#core/ports'
import { createNetwork, type Network } from '../../../pipelines/traffic-routing/network.ts'
import {
  createPlacer,
  type Placement,
  type PlacementInput,
  type ShardColumns,
  shardColumns,
} from '../../../pipelines/traffic-routing/shards/index.ts'

/** Streams that share three ways of rising latency; path j of each leads to region rj. */
function threeWays(streams: number, capacity = 100): Network {
  const links = [1, 10, 30].map((latencyMs, j) => ({ name: `way${j}`, capacity, latencyMs }))
  const pairs = Array.from({ length: streams }, (_, k) => ({
    name: `s${k}`,
    paths: links.map((_, j) => ({ links: [j], region: `r${j}` })),
  }))
  return createNetwork(links, pairs)
}

const even = (streams: number, depth: number, priority: (k: number) => number = () => 5): ShardColumns =>
  shardColumns(
    Array.from({ length: streams }, (_, k) =>
      Array.from({ length: 2 ** depth }, () => ({ depth, share: 2 ** -depth, priority: priority(k) })),
    ),
  )

function heldBy(network: Network, shards: ShardColumns, path: Int32Array): Float64Array {
  const held = new Float64Array(network.paths)
  for (let s = 0; s < shards.count; s++) held[path[s]!] = held[path[s]!]! + shards.share[s]!
  return held
}

/** A random plan, its demands and sizes, then a second plan. */
const plans = fc.record({
  seed: fc.integer({ min: 1, max: 10_000 }),
  streams: fc.integer({ min: 1, max: 12 }),
  depth: fc.integer({ min: 2, max: 5 }),
  spread: fc.boolean(),
})

interface Steps {
  readonly network: Network
  readonly shards: ShardColumns
  readonly first: Placement
  readonly second: Placement
  readonly input: PlacementInput
}

function twoSteps({
  seed,
  streams,
  depth,
  spread,
}: {
  seed: number
  streams: number
  depth: number
  spread: boolean
}): Steps {
  const random = mulberry32(seed)
  const network = threeWays(streams)
  const shards = even(streams, depth)
  const draw = () => {
    const targets = new Float64Array(network.paths)
    for (let k = 0; k < streams; k++) {
      const raw = [random.uniform(), random.uniform(), random.uniform()]
      const sum = raw[0]! + raw[1]! + raw[2]!
      for (let j = 0; j < 3; j++) targets[3 * k + j] = raw[j]! / sum
    }
    return {
      shards,
      targets,
      demand: Float64Array.from({ length: streams }, () => 1 + 20 * random.uniform()),
    }
  }
  const regionLimit = new Float64Array(streams).fill(spread ? 0.5 : 1)
  const placer = createPlacer(network)
  const first = placer.place({ ...draw(), regionLimit })
  const input = { ...draw(), regionLimit, standing: first.path }
  return { network, shards, first, second: placer.place(input), input }
}

describe('placer', () => {
  it('puts every shard on a path of its stream, the same for the same input, and keeps the spread', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const { network, shards, second, input } = twoSteps(plan)
        for (let s = 0; s < shards.count; s++) expect(network.pairOf[second.path[s]!]).toBe(shards.stream[s])
        expect(createPlacer(network).place(input)).toEqual(second)
        expect(Math.max(...heldBy(network, shards, second.path))).toBeLessThanOrEqual(
          plan.spread ? 0.5 : 1 + 1e-9,
        )
      }),
    )
  })

  it('accounts for what it moved', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        const { shards, first, second, input } = twoSteps(plan)
        const moved = [...second.path.keys()].filter((s) => first.path[s] !== second.path[s])
        const total = input.demand.reduce((sum, d) => sum + d, 0)
        const traffic = moved.reduce((sum, s) => sum + shards.share[s]! * input.demand[shards.stream[s]!]!, 0)
        expect(second.moves).toBe(moved.length)
        expect(second.movedTraffic).toBeCloseTo(traffic / total, 9)
      }),
    )
  })

  it('moves nothing while all links stay within the plan and nothing is gained', () => {
    const network = threeWays(3)
    const shards = even(3, 4)
    const placer = createPlacer(network, { promotionBudget: 0 })
    const demand = Float64Array.of(30, 30, 30)
    const targets = Float64Array.from({ length: 9 }, () => 1 / 3)
    const { path } = placer.place({ shards, targets, demand })
    const swapped = Float64Array.of(0.5, 0.25, 0.25, 0.25, 0.5, 0.25, 0.25, 0.25, 0.5)
    expect(placer.place({ shards, targets: swapped, demand, standing: path }).moves).toBeLessThanOrEqual(1)
  })

  it('mends an overload with little more than what has to move', () => {
    const network = threeWays(2)
    const shards = even(2, 6)
    const standing = Int32Array.from(shards.stream, (k) => 3 * k)
    const targets = Float64Array.of(0.5, 0.5, 0, 0.5, 0.5, 0)
    const placed = createPlacer(network).place({ shards, targets, demand: Float64Array.of(80, 80), standing })
    expect(placed.overloadedLinks).toBe(0)
    expect(placed.movedTraffic).toBeGreaterThan(0.49)
    expect(placed.movedTraffic).toBeLessThan(0.52)
  })

  it('leaves a path that may no longer be used', () => {
    const network = threeWays(2)
    const shards = even(2, 3)
    const standing = Int32Array.from(shards.stream, (k) => 3 * k)
    const usable = Uint8Array.of(0, 1, 1, 1, 1, 1)
    const targets = Float64Array.of(0, 0.5, 0.5, 1, 0, 0)
    const { path } = createPlacer(network).place({
      shards,
      targets,
      demand: Float64Array.of(10, 10),
      standing,
      usable,
    })
    expect(heldBy(network, shards, path)[0]).toBe(0)
    expect(heldBy(network, shards, path)[3]).toBe(1)
  })

  it('gives the scarce fast path to the critical stream and makes the other give way', () => {
    const network = threeWays(2)
    const shards = even(2, 4, (k) => k)
    const standing = Int32Array.from(shards.stream, (k) => (k === 0 ? 1 : 3))
    const targets = Float64Array.of(0, 1, 0, 1, 0, 0)
    const demand = Float64Array.of(60, 60)
    const place = (promotionBudget: number) =>
      heldBy(
        network,
        shards,
        createPlacer(network, { promotionBudget }).place({ shards, targets, demand, standing }).path,
      )
    expect([...place(0)]).toEqual([0, 1, 0, 1, 0, 0])
    const promoted = place(10)
    expect(promoted[0]).toBeGreaterThan(0.9)
    expect(promoted[3]! * 60 + promoted[0]! * 60).toBeLessThanOrEqual(60 * 1.002)
  })
})
