import { describe, expect, it } from 'vitest'
import type { Shard } from '#schemas'
import { createNetwork } from '../../../pipelines/traffic-routing/network.ts'
import { createRouteTable } from '../../../pipelines/traffic-routing/sdk/index.ts'
import {
  createPlacer,
  routeBodies,
  shardColumns,
  standingPaths,
} from '../../../pipelines/traffic-routing/shards/index.ts'

const network = createNetwork(
  [
    { name: 'short', capacity: 10, latencyMs: 1 },
    { name: 'long', capacity: 10, latencyMs: 9 },
  ],
  ['a>b', 'c>d'].map((name) => ({
    name,
    paths: [
      { links: [0], region: 'eu' },
      { links: [1], region: 'us' },
    ],
  })),
)

const cut = (stream: string, depth: number): Shard[] =>
  Array.from({ length: 2 ** depth }, (_, prefix) => ({
    shard_id: `${stream}/${depth}/${prefix}`,
    depth,
    prefix,
    share: 2 ** -depth,
    priority: 5,
    critical: false,
    min_regions: 1,
  }))

describe('route bodies', () => {
  it('say for every hash where the placement put its shard, and are read back as what stands', () => {
    const shards = [cut('a>b', 2), cut('c>d', 3)]
    const columns = shardColumns(shards)
    const targets = Float64Array.of(0.5, 0.5, 0.25, 0.75)
    const demand = Float64Array.of(8, 8)
    const { path } = createPlacer(network).place({ shards: columns, targets, demand })
    const bodies = routeBodies(network, shards, targets, path)
    const table = createRouteTable({ defaultRoute: { region: 'home', path: 'home#0' } })
    for (const body of bodies) table.apply(body, 'd1')
    for (let s = 0; s < columns.count; s++) {
      const { depth, prefix } = shards.flat()[s]!
      const route = table.route(network.pairNames[columns.stream[s]!]!, prefix * 2 ** (32 - depth))
      expect(route).toMatchObject({ path: network.pathIds[path[s]!], region: network.regions[path[s]!] })
    }
    expect(bodies[0]!.paths.map(({ weight }) => weight)).toEqual([0.5, 0.5])
    const standing = new Map(bodies.map((body) => [body.stream, { ...body, region_owner: 'eu' }]))
    expect(standingPaths(network, shards, standing)).toEqual(path)
    expect(routeBodies(network, shards, targets, path, standing)[0]!.region_owner).toBe('eu')
  })

  it('takes a shard as new where its path is gone or another stream has it', () => {
    const assignment = { shard_id: 'a>b/0/0', depth: 0, prefix: 0, region: 'eu', priority: 5 }
    const body = (path_id: string) => ({
      stream: 'a>b',
      paths: [],
      assignments: [{ ...assignment, path_id }],
      region_owner: '',
    })
    const paths = (path_id: string) => [
      ...standingPaths(network, [cut('a>b', 1)], new Map([['a>b', body(path_id)]])),
    ]
    expect(paths('a>b#1')).toEqual([1, 1])
    expect(paths('a>b#7')).toEqual([-1, -1])
    expect(paths('c>d#0')).toEqual([-1, -1])
  })
})
