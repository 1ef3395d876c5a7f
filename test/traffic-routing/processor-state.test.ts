import * as fc from 'fast-check'
import { expect, test } from 'vitest'
// The pure part is not in the folder's index: only the processor uses it.
import {
  advance,
  ALL_STREAMS,
  enact,
  firstToken,
  isCatchingUp,
  isMine,
  learnDecision,
  learnToken,
  learnWithdrawal,
  newProcessorState,
  plan,
  type ProcessorState,
  type Progress,
  type Token,
} from '../../pipelines/traffic-routing/processor-state.ts'

const REGIONS = ['west', 'east', 'south']
const STREAMS = ['s1', 's2', 's3']
const PARTITIONS = 2

interface Output {
  region: string
  partition: number
  offset: number
}
interface Decided {
  stream: string
  owner: string | null
  epoch: number
}

/** Kafka as the protocol sees it: inputs, one log of committed tokens, positions and outputs committed with them. */
interface World {
  input: string[][]
  tokens: Token[]
  decisions: Decided[]
  positions: Map<string, { round: number; progress: Map<number, Progress> }>
  outputs: Output[]
}

interface Region {
  state: ProcessorState
  /** Outputs of the open transaction. */
  pending: Output[]
  tokensSeen: number
  decisionsSeen: number
}

function boot(world: World, name: string): Region {
  const state = newProcessorState(name)
  for (const token of world.tokens) learnToken(state, token)
  const kept = world.positions.get(name)
  state.round = kept?.round ?? 0
  for (let p = 0; p < PARTITIONS; p++) {
    // A new region begins at the end, except the first holder of all streams.
    const end = name === REGIONS[0] ? 0 : (world.input[p] as string[]).length
    state.progress.set(p, { ...(kept?.progress.get(p) ?? { position: end, high: end }) })
  }
  // It reads the decisions again as compaction left them: the last one of each stream.
  for (const stream of STREAMS) {
    const last = world.decisions.findLast((d) => d.stream === stream)
    if (last !== undefined) decided(state, last)
  }
  return { state, pending: [], tokensSeen: world.tokens.length, decisionsSeen: world.decisions.length }
}

function decided(state: ProcessorState, { stream, owner, epoch }: Decided): void {
  if (owner === null) learnWithdrawal(state, stream, epoch)
  else learnDecision(state, stream, { owner, epoch, decisionId: `${stream}-${epoch}` })
}

/** Reads one record; false at the end. */
function read(world: World, region: Region, partition: number): boolean {
  const { position } = region.state.progress.get(partition) as Progress
  const stream = world.input[partition]?.[position]
  if (stream === undefined) return false
  if (isMine(region.state, stream, partition, position)) {
    region.pending.push({ region: region.state.region, partition, offset: position })
  }
  advance(region.state, partition, position + 1)
  return true
}

function commit(world: World, region: Region): boolean {
  const { state } = region
  const next = plan(state)
  if (next !== null) enact(state, next)
  world.outputs.push(...region.pending)
  region.pending = []
  world.tokens.push(...(next === null ? [] : [...next.released, ...next.started]))
  const progress = new Map([...state.progress].map(([p, at]) => [p, { ...at }]))
  world.positions.set(state.region, { round: state.round, progress })
  return next !== null
}

function seeToken(world: World, region: Region): boolean {
  const token = world.tokens[region.tokensSeen]
  if (token === undefined) return false
  region.tokensSeen++
  learnToken(region.state, token)
  return true
}

function seeDecision(world: World, region: Region, skip: number): boolean {
  const at = Math.min(region.decisionsSeen + skip, world.decisions.length - 1)
  const decision = world.decisions[at]
  if (decision === undefined || at < region.decisionsSeen) return false
  // Compaction only takes decisions that a later one of the same stream replaces.
  for (let i = region.decisionsSeen; i < at; i++) {
    const passed = world.decisions[i] as Decided
    const isReplaced = world.decisions.slice(i + 1).some((d) => d.stream === passed.stream)
    if (!isReplaced) decided(region.state, passed)
  }
  region.decisionsSeen = at + 1
  decided(region.state, decision)
  return true
}

type Step =
  | { do: 'produce'; stream: number; partition: number }
  | { do: 'decide'; stream: number; owner: number | null }
  | { do: 'read'; region: number; partition: number; count: number }
  | { do: 'commit' | 'token' | 'crash'; region: number }
  | { do: 'decision'; region: number; skip: number }
  /** Learns all there is, then commits. */
  | { do: 'sync'; region: number }

const region = fc.nat(REGIONS.length - 1)
const stream = fc.nat(STREAMS.length - 1)
const partition = fc.nat(PARTITIONS - 1)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('produce' as const), stream, partition }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('decide' as const),
      stream,
      owner: fc.option(region, { freq: 6 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('read' as const),
      region,
      partition,
      count: fc.integer({ min: 1, max: 6 }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constant('commit' as const), region }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('token' as const), region }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('decision' as const),
      region,
      skip: fc.integer({ min: 0, max: 2 }),
    }),
  },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('sync' as const), region }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('crash' as const), region }) },
)

function take(world: World, regions: Region[], now: Step): void {
  switch (now.do) {
    case 'produce':
      world.input[now.partition]?.push(STREAMS[now.stream] as string)
      break
    case 'decide': {
      const owner = now.owner === null ? null : (REGIONS[now.owner] as string)
      const epoch = (world.decisions.length + 1) * 10
      world.decisions.push({ stream: STREAMS[now.stream] as string, owner, epoch })
      break
    }
    case 'read':
      for (let i = 0; i < now.count; i++) read(world, regions[now.region] as Region, now.partition)
      break
    case 'commit':
      commit(world, regions[now.region] as Region)
      break
    case 'sync': {
      const r = regions[now.region] as Region
      while (seeToken(world, r) || seeDecision(world, r, 0));
      commit(world, r)
      break
    }
    case 'token':
      seeToken(world, regions[now.region] as Region)
      break
    case 'decision':
      seeDecision(world, regions[now.region] as Region, now.skip)
      break
    default:
      regions[now.region] = boot(world, REGIONS[now.region] as string)
  }
}

/** Lets everybody see and do everything, until nothing changes; throws if that never happens. */
function settle(world: World, regions: Region[]): void {
  for (let round = 0; round < 500; round++) {
    let moved = false
    for (const r of regions) {
      while (seeToken(world, r)) moved = true
      while (seeDecision(world, r, 0)) moved = true
      for (let p = 0; p < PARTITIONS; p++) while (read(world, r, p)) moved = true
      if (r.pending.length > 0) moved = true
      if (commit(world, r)) moved = true
    }
    if (!moved) return
  }
  throw new Error('The regions never come to rest.')
}

function start(): { world: World; regions: Region[] } {
  const world: World = {
    input: Array.from({ length: PARTITIONS }, () => []),
    tokens: [firstToken(REGIONS[0] as string)],
    decisions: [],
    positions: new Map(),
    outputs: [],
  }
  return { world, regions: REGIONS.map((name) => boot(world, name)) }
}

/** Records processed by no region, or by more than one, or twice. */
function faults(world: World): string[] {
  const seen = new Map<string, number>()
  for (const o of world.outputs) {
    const key = `${o.partition}/${o.offset}`
    seen.set(key, (seen.get(key) ?? 0) + 1)
  }
  return world.input.flatMap((records, p) =>
    records.flatMap((name, offset) => {
      const times = seen.get(`${p}/${offset}`) ?? 0
      return times === 1 ? [] : [`${name} at ${p}/${offset}: ${times} times`]
    }),
  )
}

/** Records of one stream and partition that came out in another order than they went in. */
function disorder(world: World): number {
  let found = 0
  for (let p = 0; p < PARTITIONS; p++) {
    for (const name of STREAMS) {
      const offsets = world.outputs
        .filter((o) => o.partition === p && world.input[p]?.[o.offset] === name)
        .map((o) => o.offset)
      found += offsets.filter((offset, i) => i > 0 && offset <= (offsets[i - 1] as number)).length
    }
  }
  return found
}

test('whatever the interleaving, crashes included, every record is processed exactly once and in order', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 40, maxLength: 200, size: 'max' }), (steps) => {
      const { world, regions } = start()
      for (const now of steps) {
        take(world, regions, now)
        expect(faults(world).filter((f) => !f.endsWith(': 0 times'))).toEqual([])
      }
      settle(world, regions)
      expect(faults(world)).toEqual([])
      expect(disorder(world)).toBe(0)
      for (const name of STREAMS) {
        const last = world.decisions.findLast((d) => d.stream === name)
        const holders = regions.map((r) => r.state.tokens.get(name)?.holder ?? REGIONS[0])
        expect(new Set(holders)).toEqual(new Set([last?.owner ?? REGIONS[0]]))
      }
    }),
    { numRuns: 1000 },
  )
})

test('at any time one region at most holds a started token, and fences never go back', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 40, maxLength: 200, size: 'max' }), (steps) => {
      const { world, regions } = start()
      for (const now of steps) take(world, regions, now)
      settle(world, regions)
      for (const name of STREAMS) {
        const chain = world.tokens.filter((t) => t.stream === name)
        expect(chain.map((t) => t.seq)).toEqual(chain.map((_, i) => i))
        for (let i = 1; i < chain.length; i++) {
          const [before, after] = [chain[i - 1] as Token, chain[i] as Token]
          expect(after.epoch).toBeGreaterThanOrEqual(before.epoch)
          for (let p = 0; p < PARTITIONS; p++) {
            expect(after.from[p] ?? 0).toBeGreaterThanOrEqual(before.from[p] ?? 0)
          }
        }
      }
    }),
    { numRuns: 500 },
  )
})

test('a handover in quick succession reaches the last region, whether or not the one between has woken up', () => {
  const { world, regions } = start()
  const [west, east, south] = regions as [Region, Region, Region]
  for (let i = 0; i < 6; i++) take(world, regions, { do: 'produce', stream: 0, partition: 0 })
  for (let i = 0; i < 2; i++) read(world, west, 0)
  world.decisions.push({ stream: 's1', owner: 'east', epoch: 10 })
  seeDecision(world, west, 0)
  commit(world, west)
  world.decisions.push({ stream: 's1', owner: 'south', epoch: 20 })
  expect(world.tokens.at(-1)).toMatchObject({ holder: 'east', from: { 0: 2 }, started: false })
  // South knows that it is wanted, but the token is east's, who sleeps.
  while (seeToken(world, south) || seeDecision(world, south, 0)) commit(world, south)
  expect(isMine(south.state, 's1', 0, 2)).toBe(false)
  // East wakes up to both decisions at once and passes the token on, fence and all, without a record processed.
  while (seeToken(world, east) || seeDecision(world, east, 0));
  commit(world, east)
  expect(world.tokens.at(-1)).toMatchObject({ holder: 'south', from: { 0: 2 } })
  settle(world, regions)
  expect(world.outputs.map((o) => o.region)).toEqual(['west', 'west', 'south', 'south', 'south', 'south'])
})

test('a region catches up with what it had passed, for the new stream only', () => {
  const { world, regions } = start()
  const [west, east] = regions as [Region, Region]
  for (const s of [0, 1, 0, 1, 0]) take(world, regions, { do: 'produce', stream: s, partition: 1 })
  while (read(world, east, 1));
  world.decisions.push({ stream: 's1', owner: 'east', epoch: 10 })
  read(world, west, 1)
  seeDecision(world, west, 0)
  commit(world, west)
  while (seeToken(world, east));
  commit(world, east)
  expect(isCatchingUp(east.state)).toBe(true)
  expect(east.state.progress.get(1)).toEqual({ position: 1, high: 5 })
  settle(world, regions)
  expect(world.outputs.filter((o) => o.region === 'east').map((o) => o.offset)).toEqual([2, 4])
  expect(faults(world)).toEqual([])
})

test('the token of all streams moves like any other, and takes what has no token of its own', () => {
  const { world, regions } = start()
  for (const s of [0, 1, 2]) take(world, regions, { do: 'produce', stream: s, partition: 0 })
  world.decisions.push({ stream: 's1', owner: 'south', epoch: 10 })
  world.decisions.push({ stream: ALL_STREAMS, owner: 'east', epoch: 20 })
  settle(world, regions)
  for (const s of [0, 1, 2]) take(world, regions, { do: 'produce', stream: s, partition: 0 })
  settle(world, regions)
  expect(faults(world)).toEqual([])
  const regionAt = new Map(world.outputs.map((o) => [o.offset, o.region]))
  expect([3, 4, 5].map((offset) => regionAt.get(offset))).toEqual(['south', 'east', 'east'])
})
