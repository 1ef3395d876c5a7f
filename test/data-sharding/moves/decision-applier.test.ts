import { expect, test } from 'vitest'
import type { DataShardBody } from '#schemas'
import type { Decision } from '#core/ports'
import { createShardApplier } from '../../../pipelines/data-sharding/moves/decision-applier.ts'
import { memoryInstance, type MemoryInstance, memoryLog, memoryMover } from './memory-world.ts'

const SEGMENT = 1

function decisionFor(instances: readonly string[], epoch = 1): Decision<DataShardBody> {
  const body: DataShardBody = {
    service: 's',
    segment: SEGMENT,
    segments: 4,
    replicas: instances.map((instance) => ({
      instance,
      weight: 1 / instances.length,
      state: 'serving' as const,
    })),
    moves: [],
    load_q50: 1,
    load_q90: 1,
  }
  return { entity: 's/001', epoch, decision_id: `d${epoch}`, body } as Decision<DataShardBody>
}

const CONTEXT = { previous: null, restoring: false }

/** Instances of which one may have to be waited for. */
function world(
  instances: readonly MemoryInstance[],
  ready: (name: string) => Promise<void>,
  reversibleMs = 60_000,
) {
  const peers = instances.filter(({ isAway }) => !isAway).map(({ peer }) => peer)
  const made = memoryMover(instances, memoryLog(), { peers, isConfigured: () => true, reversibleMs })
  const { mover } = made
  const applier = createShardApplier({ service: 's', segments: 4, mover, ready, onWeights: () => undefined })
  return { ...made, applier, peers }
}

test('a replica that is wanted and only away is waited for, not copied to', async () => {
  const [a, b] = [memoryInstance('a', { 1: 5 }), memoryInstance('b', { 1: 5 })]
  b.isAway = true
  const made = world([a, b], async (name) => {
    if (name !== 'b') return
    b.isAway = false
    made.peers.push(b.peer)
  })
  await made.mover.start()
  const observed = await made.applier.apply(decisionFor(['a', 'b']), CONTEXT)
  expect(observed).toEqual({ readers: 'a b', moves: '0' })
  expect(made.phases).toEqual([])
  await made.mover.stop()
})

test('an instance that nobody knows may yet come; nothing moves before', async () => {
  const a = memoryInstance('a', { 1: 5 })
  const made = world([a], (name) =>
    name === 'a' ? Promise.resolve() : Promise.reject(new Error(`There is no instance ${name}.`)),
  )
  await made.mover.start()
  await expect(made.applier.apply(decisionFor(['x']), CONTEXT)).rejects.toMatchObject({
    code: 'DATA_PLANE_UNREACHABLE',
    message: 'There is no instance x.',
  })
  expect(made.mover.states()).toEqual([])
  await made.mover.stop()
})

test('a decision without replicas, or of another layout, is refused', async () => {
  const a = memoryInstance('a', { 1: 5 })
  const made = world([a], async () => undefined)
  await made.mover.start()
  const other = decisionFor(['a'])
  const wrong = { ...other, body: { ...other.body, segments: 8 } }
  for (const decision of [decisionFor([]), wrong]) {
    await expect(made.applier.apply(decision, CONTEXT)).rejects.toMatchObject({ code: 'DATA_PLANE_REFUSED' })
  }
  expect(made.mover.readers(SEGMENT)).toEqual(['a'])
  await made.mover.stop()
})

test('a stop in the middle of a move is no failure of the decision: it is to be applied again', async () => {
  const [a, b] = [memoryInstance('a', { 1: 5 }), memoryInstance('b', {})]
  const made = world([a, b], async () => undefined)
  await made.mover.start()
  const applying = made.applier.apply(decisionFor(['b']), CONTEXT)
  a.isAway = true
  const stopped = made.mover.stop()
  await expect(applying).rejects.toMatchObject({ code: 'DATA_PLANE_UNREACHABLE' })
  await stopped
})

test('plans that change while moves are under way lead to what the last one wants', async () => {
  const all = ['a', 'b', 'c'].map((name) => memoryInstance(name, name === 'a' ? { 1: 5 } : {}))
  const made = world(all, async () => undefined, 3)
  await made.mover.start()
  const plans = [['b'], ['a'], ['b', 'c'], ['c'], ['a', 'b', 'c'], ['a']]
  for (const [i, plan] of plans.entries()) {
    const { readers } = (await made.applier.apply(decisionFor(plan, i + 1), CONTEXT)) as { readers: string }
    expect(readers.split(' ').sort()).toEqual(plan)
    const counts = all.filter(({ name }) => plan.includes(name)).map(({ rows }) => rows.get(SEGMENT))
    expect(counts).toEqual(plan.map(() => 5))
  }
  await made.mover.settled()
  expect(all.map(({ rows }) => rows.get(SEGMENT))).toEqual([5, undefined, undefined])
  await made.mover.stop()
})
