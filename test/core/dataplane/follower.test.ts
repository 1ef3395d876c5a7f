import { expect, test } from 'vitest'
import { canaryPosition, ForestallError } from '#core/ports'
import { bench, decision, liveBench, START_MS } from './fixtures.ts'

test('what was superseded in the log is never applied: snapshot first, then live', async () => {
  const { follower, source, plane, reports } = bench()
  await follower.start()
  await source.put('a', decision('a', 'west', 5))
  await source.put('b', decision('b', 'west', 6))
  await source.put('a', decision('a', 'east', 7))
  expect(plane.calls).toEqual([])
  expect(follower.health().caughtUp).toBe(false)
  await source.caughtUp()
  await follower.caughtUp()
  expect(plane.calls).toEqual(['apply a east', 'apply b west'])
  await source.put('b', decision('b', 'south', 9))
  await follower.settled()
  expect(plane.inForce.get('b')).toBe('south')
  expect(reports()).toEqual(['applied a 7', 'applied b 6', 'applied b 9'])
})

test('an epoch not above what it holds is refused with a reason, a second delivery is not', async () => {
  const { follower, source, plane, acks } = await liveBench()
  const first = decision('a', 'west', 5)
  await source.put('a', first)
  await source.put('a', first)
  await source.put('a', decision('a', 'east', 5, { decision_id: 'stale' }))
  await source.put('a', decision('a', 'east', 4))
  await follower.settled()
  expect(plane.calls).toEqual(['apply a west'])
  const refused = acks.filter((a) => a.state === 'rejected')
  expect(refused.map((a) => a.observed['reason'])).toEqual([
    'epoch 5 is not above 5',
    'epoch 4 is not above 5',
  ])
  expect(follower.health().counters).toMatchObject({ received: 4, repeats: 1, rejected: 2, applied: 1 })
})

test('epochs are remembered beyond a tombstone', async () => {
  const { follower, source, plane, reports } = await liveBench()
  await source.put('a', decision('a', 'west', 5))
  await follower.settled()
  await source.put('a', null)
  await follower.settled()
  expect(plane.inForce.size).toBe(0)
  await source.put('a', decision('a', 'zombie', 4))
  await source.put('a', decision('a', 'east', 6))
  await follower.settled()
  expect(reports()).toEqual(['applied a 5', 'rolled_back a 5', 'rejected a 4', 'applied a 6'])
})

test('a replay is refused by a live follower, and live decisions by a replaying one', async () => {
  const live = await liveBench()
  await live.source.put('a', decision('a', 'west', 5, { replay_id: '2004' }))
  await live.source.put('a', decision('a', 'east', 3))
  await live.follower.settled()
  expect(live.acks[0]?.observed['reason']).toContain('live decisions only')
  expect(live.plane.inForce.get('a')).toBe('east')

  const replaying = bench({ replayId: '2004' })
  await replaying.follower.start()
  await replaying.source.put('a', decision('a', 'west', 5, { replay_id: '2004' }))
  await replaying.source.put('a', decision('a', 'east', 6))
  await replaying.source.caughtUp()
  await replaying.follower.settled()
  expect(replaying.plane.inForce.get('a')).toBe('west')
})

test('a dry run changes nothing and says what it would do', async () => {
  const { follower, source, plane, acks } = await liveBench()
  await source.put('a', decision('a', 'west', 5))
  await source.put('a', decision('a', 'east', 6, { mode: 'dry_run' }))
  await follower.settled()
  expect(plane.inForce.get('a')).toBe('west')
  expect(acks.find((a) => a.epoch === 6)).toMatchObject({
    state: 'accepted',
    observed: { mode: 'dry_run', would: 'east' },
  })
})

test('a canary is applied by a share of the followers; a larger share only adds followers', async () => {
  const names = Array.from({ length: 400 }, (_, i) => `proxy-${i}`)
  const inside = (share: number) => names.filter((n) => canaryPosition(n, 'a') < share)
  expect(inside(0.25).length / names.length).toBeCloseTo(0.25, 1)
  expect(inside(0.5)).toEqual(expect.arrayContaining(inside(0.25)))

  const chosen = inside(0.25)[0] as string
  const other = names.find((n) => canaryPosition(n, 'a') >= 0.25) as string
  for (const [id, region] of [
    [chosen, 'east'],
    [other, 'west'],
  ] as const) {
    const { follower, source, plane } = await liveBench({ id })
    await source.put('a', decision('a', 'west', 5))
    await source.put('a', decision('a', 'east', 6, { mode: 'canary', canary_share: 0.25 }))
    await follower.settled()
    expect(plane.inForce.get('a')).toBe(region)
    await source.put('a', decision('a', 'east', 7))
    await follower.settled()
    expect(plane.inForce.get('a')).toBe('east')
  }
})

test('a decision waits for its time; a newer one replaces it', async () => {
  const { follower, source, plane, reports, advance } = await liveBench()
  await source.put('a', decision('a', 'west', 5, { not_before_ms: START_MS + 10_000 }))
  await advance(9_999)
  expect(plane.calls).toEqual([])
  expect(follower.health().waiting).toBe(1)
  await advance(1)
  expect(plane.inForce.get('a')).toBe('west')
  await source.put('a', decision('a', 'east', 6, { not_before_ms: START_MS + 20_000 }))
  await source.put('a', decision('a', 'south', 7))
  await advance(30_000)
  expect(plane.inForce.get('a')).toBe('south')
  expect(reports()).toEqual(['accepted a 5', 'applied a 5', 'accepted a 6', 'applied a 7'])
})

test('a preference expires to the default, with jitter; until then it stands without Kafka', async () => {
  const { source, plane, reports, advance, clock } = await liveBench({ expiryJitterMs: 10_000 })
  await source.put('a', decision('a', 'west', 5))
  source.fail(new Error('Kafka is away'))
  await advance(59_999)
  expect(plane.inForce.get('a')).toBe('west')
  await advance(10_001)
  expect(plane.inForce.has('a')).toBe(false)
  expect(reports()).toEqual(['applied a 5', 'expired a 5'])
  expect(clock.nowMs()).toBe(START_MS + 70_000)
})

test('followers do not all expire at once', async () => {
  const at: number[] = []
  for (let i = 0; i < 20; i++) {
    const { follower, source, acks, advance } = await liveBench({ id: `f${i}`, expiryJitterMs: 10_000 })
    await source.put('a', decision('a', 'west', 5))
    await follower.settled()
    await advance(59_999)
    for (let step = 0; step < 100; step++) await advance(101)
    at.push(acks.find((a) => a.state === 'expired')?.at_ms ?? 0)
  }
  expect(Math.min(...at)).toBeGreaterThanOrEqual(START_MS + 60_000)
  expect(new Set(at).size).toBeGreaterThan(12)
})

test('a renewal lengthens the life, placement has none', async () => {
  const { source, plane, advance } = await liveBench()
  await source.put('a', decision('a', 'west', 5))
  await advance(30_000)
  await source.put('a', decision('a', 'west', 6, { expires_at_ms: START_MS + 90_000 }))
  await advance(40_000)
  expect(plane.inForce.get('a')).toBe('west')
  await advance(20_000)
  expect(plane.inForce.has('a')).toBe(false)

  const placed = await liveBench({ kind: 'placement' })
  await placed.source.put('a', decision('a', 'west', 5))
  await placed.advance(10 ** 12)
  expect(placed.plane.inForce.get('a')).toBe('west')
})

test('a decision that comes too late is not applied', async () => {
  const { follower, source, plane, reports, clock } = await liveBench()
  clock.advance(60_000)
  await source.put('a', decision('a', 'west', 5))
  await follower.settled()
  expect(plane.calls).toEqual(['revert a'])
  expect(reports()).toEqual(['expired a 5'])
})

test('a failed apply puts the previous decision back and says why', async () => {
  const { follower, source, plane, acks, advance } = await liveBench()
  await source.put('a', decision('a', 'west', 5))
  await follower.settled()
  plane.before = (call) => {
    if (call.endsWith('east')) throw new Error('half of it failed')
  }
  await source.put('a', decision('a', 'east', 6))
  await follower.settled()
  expect(plane.calls).toEqual(['apply a west', 'apply a east', 'apply a west'])
  expect(acks.at(-1)).toMatchObject({
    state: 'rolled_back',
    epoch: 6,
    observed: { reason: 'half of it failed' },
  })
  expect(follower.holds('a')?.epoch).toBe(5)
  await advance(60_000)
  expect(acks.at(-1)).toMatchObject({ state: 'expired', epoch: 5 })
})

test('what the data plane refuses unchanged is rejected, and nothing is put back', async () => {
  const { follower, source, plane, acks } = await liveBench()
  plane.before = () => {
    throw new ForestallError('DATA_PLANE_REFUSED', 'No such backend.')
  }
  await source.put('a', decision('a', 'west', 5))
  await follower.settled()
  expect(plane.calls).toEqual(['apply a west'])
  expect(acks).toMatchObject([{ state: 'rejected', observed: { reason: 'No such backend.' } }])
})

test('a data plane that does not answer is tried again until the decision is in force', async () => {
  const { follower, source, plane, reports, advance } = await liveBench()
  let isDown = true
  plane.before = () => {
    if (isDown) throw new ForestallError('DATA_PLANE_UNREACHABLE', 'no socket')
  }
  await source.put('a', decision('a', 'west', 5))
  await follower.settled()
  await advance(250)
  expect(follower.health()).toMatchObject({ waiting: 1, counters: { unreachable: 2 } })
  isDown = false
  await advance(500)
  expect(plane.inForce.get('a')).toBe('west')
  expect(reports()).toEqual(['warming a 5', 'applied a 5'])
})

test('going back to the default is tried again too', async () => {
  const { follower, source, plane, advance } = await liveBench()
  await source.put('a', decision('a', 'west', 5))
  await advance(59_000)
  let isDown = true
  plane.before = () => {
    if (isDown) throw new ForestallError('DATA_PLANE_UNREACHABLE', 'no socket')
  }
  await advance(1_000)
  expect(plane.inForce.get('a')).toBe('west')
  // A tombstone meanwhile does not call the retry off.
  await source.put('a', null)
  await follower.settled()
  isDown = false
  await advance(250)
  expect(plane.inForce.has('a')).toBe(false)
})

test('calls are made one after another per entity, and the newest wins', async () => {
  const { follower, source, plane, reports } = await liveBench()
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  plane.before = (call) => (call === 'apply a one' ? held : undefined)
  for (const [i, region] of ['one', 'two', 'three', 'four'].entries()) {
    await source.put('a', decision('a', region, 5 + i))
  }
  await source.put('b', decision('b', 'west', 5))
  release()
  await follower.settled()
  expect(plane.calls).toEqual(['apply a one', 'apply b west', 'apply a four'])
  expect(plane.mostAtOnce()).toBe(1)
  expect(reports().filter((r) => r.includes(' a '))).toEqual(['applied a 5', 'applied a 8'])
  expect(follower.health().counters.superseded).toBe(2)
})

test('an old decision that expires while a newer one is being applied does not undo it', async () => {
  const { source, plane, advance, follower, clock } = await liveBench()
  await source.put('a', decision('a', 'west', 5))
  await follower.settled()
  const { promise: held, resolve: release } = Promise.withResolvers<void>()
  plane.before = () => held
  await source.put('a', decision('a', 'east', 6, { expires_at_ms: START_MS + 200_000 }))
  clock.advance(61_000)
  release()
  await advance(1_000)
  expect(plane.inForce.get('a')).toBe('east')
})

test('how old what is in force is, its epoch and what was reported are told', async () => {
  const { follower, source, reports } = await liveBench()
  expect(follower.health()).toMatchObject({ held: 0, oldestIssuedMs: Number.NaN, epoch: Number.NaN })
  await source.put('a', decision('a', 'west', 5, { issued_at_ms: START_MS - 9000 }))
  await source.put('b', decision('b', 'west', 7, { issued_at_ms: START_MS - 3000 }))
  await follower.settled()
  expect(follower.health()).toMatchObject({
    held: 2,
    oldestIssuedMs: START_MS - 9000,
    newestIssuedMs: START_MS - 3000,
    epoch: 7,
    counters: { applied: 2, acks: reports().length, ackFailures: 0 },
  })
})

test('a report that cannot be sent changes nothing', async () => {
  const { follower, source, plane } = await liveBench({
    sendAck: () => Promise.reject(new Error('Kafka is away')),
  })
  await source.put('a', decision('a', 'west', 5))
  await follower.settled()
  expect(plane.inForce.get('a')).toBe('west')
  expect(follower.health().counters.ackFailures).toBe(1)
})

test('unreadable records and a Kafka that is away are counted and said', async () => {
  const { follower, source, warnings } = await liveBench()
  source.fail(new ForestallError('RECORD_UNDECODABLE', 'offset 3'))
  source.fail(new Error('connection refused'))
  expect(follower.health()).toMatchObject({
    lastWarning: 'connection refused',
    counters: { undecodable: 1, sourceErrors: 1 },
  })
  expect(warnings).toHaveLength(2)
})

test('stop before start, and twice, is harmless; nothing fires afterwards', async () => {
  const { follower, source, plane, advance } = await liveBench()
  await source.put('a', decision('a', 'west', 5))
  await follower.stop()
  await follower.stop()
  await advance(100_000)
  expect(plane.inForce.get('a')).toBe('west')
  const idle = bench()
  await idle.follower.stop()
  expect(idle.follower.health().state).toBe('stopped')
})
