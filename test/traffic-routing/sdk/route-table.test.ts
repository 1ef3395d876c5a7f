import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { RouteBody, ShardAssignment } from '#schemas'
import { createRouteTable, type Route } from '../../../pipelines/traffic-routing/sdk/index.ts'

const config = { defaultRoute: { region: 'home', path: 'home#0' } }

const assignment = (depth: number, prefix: number, path: string): ShardAssignment => ({
  shard_id: `x/${depth}/${prefix}`,
  depth,
  prefix,
  path_id: path,
  region: `region of ${path}`,
  priority: 5,
})

const body = (
  assignments: ShardAssignment[],
  weights: Record<string, number> = {},
  stream = 'x',
): RouteBody => ({
  stream,
  paths: Object.entries(weights).map(([path_id, weight]) => ({
    path_id,
    region: `region of ${path_id}`,
    weight,
  })),
  assignments,
  region_owner: '',
})

/** The slow answer: the deepest assignment whose prefix the hash begins with. */
function expected({ assignments }: RouteBody, hash: number): string | undefined {
  return assignments
    .filter(({ depth, prefix }) => Math.floor(hash / 2 ** (32 - depth)) === prefix)
    .toSorted((a, b) => b.depth - a.depth)[0]?.shard_id
}

const hashes = fc.integer({ min: 0, max: 2 ** 32 - 1 })
const shards = fc.uniqueArray(
  fc
    .tuple(fc.constantFrom(0, 1, 2, 5, 11, 12, 32), hashes)
    .map(([depth, hash]) => ({ depth, prefix: Math.floor(hash / 2 ** (32 - depth)) })),
  { selector: ({ depth, prefix }) => `${depth}/${prefix}`, maxLength: 30 },
)

/** Share of the ring on each path, read off 2^14 evenly spaced hashes. */
function shares(route: (hash: number) => Route): Map<string, number> {
  const found = new Map<string, number>()
  for (let i = 0; i < 2 ** 14; i++) {
    const { path } = route(i * 2 ** 18)
    found.set(path, (found.get(path) ?? 0) + 2 ** -14)
  }
  return found
}

describe('route table', () => {
  it('finds the deepest shard that covers a hash, else the default', () => {
    fc.assert(
      fc.property(shards, fc.array(hashes, { minLength: 1, maxLength: 50 }), (cut, asked) => {
        const decided = body(cut.map(({ depth, prefix }, i) => assignment(depth, prefix, `p${i % 3}`)))
        const table = createRouteTable(config)
        table.apply(decided, 'd1')
        const own = decided.assignments.map(({ depth, prefix }) => prefix * 2 ** (32 - depth))
        for (const hash of [...asked, ...own])
          expect(table.route('x', hash).shardId).toBe(expected(decided, hash) ?? '')
      }),
    )
  })

  it('says the same by number, by index and by name, also for hashes given as signed integers', () => {
    const table = createRouteTable(config)
    const id = table.streamId('x')
    table.apply(body([assignment(1, 0, 'p'), assignment(1, 1, 'q'), assignment(32, 0xf0000001, 'r')]), 'd1')
    for (const [hash, path] of [
      [1, 'p'],
      [0xf0000000, 'q'],
      [0xf0000001, 'r'],
    ] as const) {
      expect(table.routes[table.lookup(id, hash)]).toMatchObject({
        path,
        region: `region of ${path}`,
        decisionId: 'd1',
      })
      expect(table.routes[table.lookup(id, hash | 0)]?.path).toBe(path)
      expect(table.route(id, hash)).toBe(table.routes[table.lookup(id, hash)])
      expect(table.route('x', hash).path).toBe(path)
    }
  })

  it('takes the default of the stream, of the table, and for streams it has never heard of', () => {
    const table = createRouteTable({
      ...config,
      streamDefaults: { video: { region: 'eu', path: 'eu#1', priority: 1 } },
    })
    expect(table.route('video', 7)).toEqual({
      region: 'eu',
      path: 'eu#1',
      shardId: '',
      priority: 1,
      decisionId: '',
    })
    expect(table.route('other', 7).path).toBe('home#0')
    expect(table.routes[table.lookup(99, 7)]?.path).toBe('home#0')
    expect(table.routes[table.lookup(-1, 7)]?.path).toBe('home#0')
    table.apply(body([assignment(0, 0, 'p')], {}, 'video'), 'd1')
    expect(table.route('video', 7).path).toBe('p')
    table.revert('video')
    expect(table.route('video', 7).path).toBe('eu#1')
  })

  it('splits by weight what no shard covers', () => {
    const table = createRouteTable(config)
    table.apply(body([assignment(1, 1, 'p')], { q: 0.75, r: 0.25, s: 0 }), 'd1')
    const found = shares((hash) => table.route('x', hash))
    expect(found.get('p')).toBe(0.5)
    expect(found.get('q')).toBeCloseTo(0.375, 1)
    expect(found.get('r')).toBeCloseTo(0.125, 1)
    expect([...found.keys()].toSorted()).toEqual(['p', 'q', 'r'])
  })

  it('follows weights within 3 % of the ring, moves little more than it must, and forgets its past', () => {
    const before = { p: 0.5, q: 0.3, r: 0.2 }
    const after = { p: 0.4, q: 0.3, r: 0.3 }
    const table = createRouteTable(config)
    expect(table.apply(body([], before), 'd1')).toBe(1)
    for (const [path, weight] of Object.entries(before))
      expect(Math.abs(shares((hash) => table.route('x', hash)).get(path)! - weight)).toBeLessThan(0.03)
    const changed = table.preview(body([], after))
    expect(changed).toBeGreaterThan(0.07)
    expect(changed).toBeLessThan(0.16)
    expect(table.apply(body([], after), 'd2')).toBe(changed)
    const fresh = createRouteTable(config)
    fresh.apply(body([], after), 'd2')
    for (let i = 0; i < 4096; i++)
      expect(fresh.route('x', i * 2 ** 20).path).toBe(table.route('x', i * 2 ** 20).path)
  })

  it.each([
    [{ assignments: [assignment(13, 0, 'p')] }, 'depth 13'],
    [{ assignments: [assignment(2, 4, 'p')] }, 'prefix 4'],
    [{ paths: [{ path_id: 'p', region: 'r', weight: Number.NaN }] }, 'weight NaN'],
  ])('refuses a decision that cannot be, and changes nothing: %j', (part, text) => {
    const table = createRouteTable(config)
    table.apply(body([assignment(0, 0, 'p')]), 'd1')
    expect(() => table.apply({ ...body([]), ...part }, 'd2')).toThrow(
      expect.objectContaining({
        code: 'DATA_PLANE_REFUSED',
        message: expect.stringContaining(text) as string,
      }),
    )
    expect(table.route('x', 1)).toMatchObject({ path: 'p', decisionId: 'd1' })
  })

  it('keeps an index good through one replacement, and uses memory again', () => {
    const table = createRouteTable(config)
    const id = table.streamId('x')
    table.apply(body([assignment(1, 0, 'a'), assignment(1, 1, 'b')]), 'd1')
    const held = table.lookup(id, 0)
    table.apply(body([assignment(1, 0, 'c'), assignment(1, 1, 'd')]), 'd2')
    expect(table.routes[held]?.path).toBe('a')
    expect(table.routes[table.lookup(id, 0)]?.path).toBe('c')
    for (let i = 0; i < 50; i++) table.apply(body([assignment(1, 0, 'e'), assignment(1, 1, 'f')]), `d${i}`)
    expect(table.routes.length).toBeLessThan(20)
  })

  it('refuses a default that names nothing', () => {
    expect(() => createRouteTable({ defaultRoute: { region: '', path: 'p' } })).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    )
  })
})
