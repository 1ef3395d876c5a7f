import * as fc from 'fast-check'
import { expect, test } from 'vitest'
// Not part of the folder's index: nobody else needs them.
import { changesFor, changesToDefault } from '../../../infra/haproxy/changes.ts'
import { parseServersState, parseStat, type ServerState } from '../../../infra/haproxy/tables.ts'
import { FULL_WEIGHT, meanShares, regionShares, weightsOf } from '../../../infra/haproxy/weights.ts'

const shares = fc.dictionary(
  fc.string({ minLength: 1, maxLength: 4 }),
  fc.oneof(fc.constant(0), fc.double({ min: 1e-6, max: 1e6, noNaN: true })),
  { minKeys: 1, maxKeys: 12 },
)

test('weights sum to 256, follow the shares within one unit, and no share above 0 is lost', () => {
  fc.assert(
    fc.property(shares, (dictionary) => {
      const wanted = new Map(Object.entries(dictionary))
      const weights = weightsOf(wanted)
      const total = [...wanted.values()].reduce((a, b) => a + b, 0)
      const sum = [...weights.values()].reduce((a, b) => a + b, 0)
      expect(sum).toBe(total > 0 ? FULL_WEIGHT : 0)
      // Every share that is lifted to weight 1 costs the largest at most one unit.
      const lifted = [...wanted.values()].filter((s) => s > 0 && (s / total) * FULL_WEIGHT < 1).length
      for (const [name, share] of wanted) {
        const weight = weights.get(name) ?? -1
        expect(weight > 0).toBe(share > 0)
        expect(Number.isInteger(weight)).toBe(true)
        const exact = total > 0 ? (share / total) * FULL_WEIGHT : 0
        expect(Math.abs(weight - exact)).toBeLessThanOrEqual(1 + lifted)
      }
    }),
  )
})

test('thirds come out as 86, 85, 85', () => {
  const third = new Map(['c', 'a', 'b'].map((name) => [name, 1 / 3]))
  expect([...weightsOf(third)].sort(([a], [b]) => (a < b ? -1 : 1))).toEqual([
    ['a', 86],
    ['b', 85],
    ['c', 85],
  ])
})

test('paths that end in one region count together; streams that share a backend are averaged', () => {
  const paths = [
    { region: 'west', weight: 0.25 },
    { region: 'east', weight: 0.5 },
    { region: 'west', weight: 0.25 },
  ]
  const one = regionShares(paths)
  expect(Object.fromEntries(one)).toEqual({ west: 0.5, east: 0.5 })
  expect(Object.fromEntries(meanShares([one, new Map([['west', 3]])]))).toEqual({ west: 0.75, east: 0.25 })
})

const server = (name: string, weight: number, over: Partial<ServerState> = {}): ServerState => ({
  backend: 'be',
  server: name,
  address: '127.0.0.1',
  port: 80,
  weight,
  configuredWeight: 100,
  isDraining: false,
  isInMaintenance: false,
  isUp: true,
  ...over,
})
const drain = { drainAtZero: true }

test('only what differs is commanded, and gains come before losses', () => {
  const now = [server('west', 128), server('east', 128)]
  expect(
    changesFor(
      'be',
      new Map([
        ['west', 0.5],
        ['east', 0.5],
      ]),
      now,
      drain,
    ),
  ).toEqual([])
  expect(changesFor('be', new Map([['east', 1]]), now, drain)).toEqual([
    { kind: 'weight', server: 'east', weight: 256 },
    { kind: 'weight', server: 'west', weight: 0 },
    { kind: 'drain', server: 'west' },
  ])
  const drained = [server('west', 0, { isDraining: true }), server('east', 256)]
  expect(changesFor('be', new Map([['west', 1]]), drained, drain)).toEqual([
    { kind: 'weight', server: 'west', weight: 256 },
    { kind: 'ready', server: 'west' },
    { kind: 'weight', server: 'east', weight: 0 },
    { kind: 'drain', server: 'east' },
  ])
})

test('a server that is missing is added if its address is known, else the decision is refused', () => {
  const now = [server('west', 256)]
  const split = new Map([
    ['west', 0.5],
    ['south', 0.5],
  ])
  expect(changesFor('be', split, now, { ...drain, addressOf: () => '10.0.0.1:80' })[0]).toEqual({
    kind: 'add',
    server: 'south',
    address: '10.0.0.1:80',
    weight: 128,
  })
  expect(() => changesFor('be', split, now, drain)).toThrow(/no server south/)
})

test('the default is the configuration file, without the servers that were added', () => {
  const now = [server('west', 0, { isDraining: true }), server('south', 50), server('east', 100)]
  expect(changesToDefault(now, new Set(['south']), (s) => s.configuredWeight)).toEqual([
    { kind: 'weight', server: 'west', weight: 100 },
    { kind: 'ready', server: 'west' },
    { kind: 'delete', server: 'south' },
  ])
})

test('tables are read by the names of their columns; words instead of a table are none', () => {
  const state = `1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_port
3 be 1 west 127.0.0.1 2 8 10 128 28191
3 be 2 east 127.0.0.1 0 1 0 128 28192
`
  expect(parseServersState(state)).toEqual([
    server('west', 10, { isDraining: true, configuredWeight: 128, port: 28191 }),
    server('east', 0, { isInMaintenance: true, configuredWeight: 128, port: 28192, isUp: false }),
  ])
  expect(parseServersState("Can't find backend.\n")).toBeNull()
  const stat = '# pxname,svname,qcur,scur,stot,bin,bout,status,weight,\nbe,west,0,1,7,100,200,UP,5,\n'
  expect(parseStat(stat)).toMatchObject([
    {
      proxy: 'be',
      name: 'west',
      status: 'UP',
      sessions: 1,
      sessionsTotal: 7,
      bytesIn: 100,
      bytesOut: 200,
      weight: 5,
    },
  ])
})
