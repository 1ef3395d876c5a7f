import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mulberry32 } from '#core/ports'
import {
  createNetwork,
  maxUtilisation,
  normaliseSplits,
  shortestSplits,
  uniformSplits,
  utilisation,
} from '../../pipelines/traffic-routing/network.ts'
import {
  parseAbileneDemands,
  parseAbileneNetwork,
  parsePod,
  parsePodDemands,
} from '../../pipelines/traffic-routing/network-files.ts'
import { triangle } from './networks.ts'

const links = [{ name: 'a-b', capacity: 10, latencyMs: 1 }]
const config = expect.objectContaining({ code: 'CONFIG_INVALID' })

describe('network', () => {
  it('numbers paths pair by pair and draws the tie-break in path order', () => {
    const network = triangle()
    expect(Array.from(network.firstPath)).toEqual([0, 2, 4])
    expect(Array.from(network.pairOf)).toEqual([0, 0, 1, 1])
    expect(network.pathIds).toEqual(['a->b#0', 'a->b#1', 'c->b#0', 'c->b#1'])
    const random = mulberry32(1)
    expect(Array.from(network.tieBreak)).toEqual([1, 2, 1, 2].map((hops) => hops + 0.5 * random.uniform()))
  })

  it('adds up link loads', () => {
    const network = triangle()
    const u = utilisation(
      network,
      Float64Array.of(0.5, 0.5, 1, 0),
      Float64Array.of(8, 2),
      new Float64Array(network.links),
    )
    expect(network.linkNames.map((name, e) => [name, u[e]])).toEqual([
      ['a-b', 0.4],
      ['a-c', 0.4],
      ['c-b', 0.6],
      ['c-a', 0],
    ])
    expect(maxUtilisation(network, shortestSplits(network), Float64Array.of(8, 2))).toBe(0.8)
    expect(Array.from(uniformSplits(network))).toEqual([0.5, 0.5, 0.5, 0.5])
  })

  it('normalised splits are never negative and sum to 1 per pair', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ min: -1, max: 1, noNaN: true }), { minLength: 4, maxLength: 4 }),
        (raw) => {
          const splits = normaliseSplits(triangle(), Float64Array.from(raw))
          expect(splits.every((f) => f >= 0)).toBe(true)
          expect(splits[0]! + splits[1]!).toBeCloseTo(1, 12)
          expect(splits[2]! + splits[3]!).toBeCloseTo(1, 12)
        },
      ),
    )
  })

  it('names the field, the value and the cure of what cannot work', () => {
    const paths = [{ links: [0], region: 'b' }]
    expect(() => createNetwork([{ ...links[0]!, capacity: 0 }], [{ name: 'p', paths }])).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: 'links[0].capacity (a-b) = 0',
        cure: 'Set a finite capacity above 0.',
      }),
    )
    expect(() => createNetwork(links, [{ name: 'a->z', paths: [] }])).toThrow(
      expect.objectContaining({
        message: 'pairs.a->z.paths = []',
        cure: expect.stringContaining('unreachable'),
      }),
    )
    expect(() => createNetwork(links, [{ name: 'p', paths: [{ links: [1], region: '' }] }])).toThrow(config)
    expect(() => createNetwork(links, [{ name: 'p', paths: [{ links: [0, 0], region: '' }] }])).toThrow(
      config,
    )
    expect(() => createNetwork([], [])).toThrow(config)
  })
})

const NODES = 'node_index,node,city\n0,A,x\n1,B,y\n2,C,z\n'
const LINKS = `link_index,src,dst,ospf_weight,capacity_kbps
0,A,B,100,1000
1,B,A,100,1000
2,B,C,100,1000
3,C,B,100,1000
4,A,C,300,1000
5,C,A,300,1000`

describe('Abilene files', () => {
  it('sorts simple paths by weight, hops, nodes', () => {
    const network = parseAbileneNetwork(NODES, LINKS)
    expect(network.pairNames).toEqual(['A->B', 'A->C', 'B->A', 'B->C', 'C->A', 'C->B'])
    const first = network.firstPath[1]!
    expect(Array.from(network.latencyMs.subarray(first, first + 2))).toEqual([1, 1.5])
    expect(network.capacity[0]).toBe(1)
  })

  it('reads Mbit/s, drops self-pairs, keeps the order of times', () => {
    const network = parseAbileneNetwork(NODES, LINKS)
    const csv = 'ts,src,dst,bytes_5min\nt1,A,A,9\nt1,A,B,37500000\nt2,C,B,75000000\n'
    const [one, two] = parseAbileneDemands(csv, network)
    expect(one?.[0]).toBe(1)
    expect(two?.[5]).toBe(2)
    expect(two?.[0]).toBe(0)
  })

  it('refuses unknown nodes, missing columns, negative bytes and a node out of reach', () => {
    const network = parseAbileneNetwork(NODES, LINKS)
    expect(() => parseAbileneDemands('ts,src,dst,bytes_5min\nt,A,Z,1', network)).toThrow(config)
    expect(() => parseAbileneDemands('ts,src,dst,bytes_5min\nt,A,B,-1', network)).toThrow(config)
    expect(() => parseAbileneDemands('ts,src,dst\n', network)).toThrow(config)
    expect(() => parseAbileneNetwork(NODES, LINKS.replace('0,A,B', '0,A,Q'))).toThrow(config)
    expect(() => parseAbileneNetwork(`${NODES}3,D,lonely\n`, LINKS)).toThrow(
      expect.objectContaining({ message: 'pairs.A->D.paths = []' }),
    )
  })
})

describe('pod files', () => {
  const topology = JSON.stringify({
    nodes: [{ id: 0 }, { id: 1 }],
    links: [
      { source: 0, target: 1, capacity: 5 },
      { source: 1, target: 0, capacity: 5 },
    ],
  })

  it('reads paths and matrices', () => {
    const pod = parsePod(topology, '0 1:0-1\n1 0:1-0\n')
    expect(parsePodDemands('0 3 4 0 \n0 1 2 0\n', pod).map((d) => Array.from(d))).toEqual([
      [3, 4],
      [1, 2],
    ])
  })

  it('refuses a path over a missing link and a matrix of the wrong size', () => {
    expect(() => parsePod(topology, '0 1:0-2-1')).toThrow(config)
    expect(() => parsePod(topology, '0 7:0-7')).toThrow(config)
    expect(() => parsePodDemands('1 2 3', parsePod(topology, '0 1:0-1'))).toThrow(config)
  })
})
