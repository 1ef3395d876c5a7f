import { setImmediate } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { DataMove, DataMoveState } from '#schemas'
import { ForestallError } from '#core/ports'
import { memoryInstance, type MemoryInstance, memoryLog, memoryMover } from './memory-world.ts'

const SEGMENT = 1
const MOVE: DataMove = { move_id: 'm', kind: 'move', from: 'a', to: 'b' }
const state = (over: Partial<DataMoveState>): DataMoveState => ({
  ...MOVE,
  service: 's',
  segment: SEGMENT,
  phase: 'copying',
  offset: 7,
  rows: 1,
  attempt: 1,
  began_at_ms: 0,
  at_ms: 999_000,
  reversible_until_ms: null,
  reason: '',
  ...over,
})
const refusal = (code: 'WAREHOUSE_REJECTED' | 'WAREHOUSE_UNAVAILABLE', text: string): ForestallError =>
  new ForestallError(code, text)

/** A log in which one move stands. */
function logOf(over: Partial<DataMoveState>) {
  const log = memoryLog()
  log.standing.set('m', state(over))
  return log
}

const rowsOf = ({ rows, held, aside }: MemoryInstance) => ({
  rows: rows.get(SEGMENT) ?? 0,
  holds: held.has(SEGMENT),
  aside: aside.size,
})

test('two empty replicas are no proof: one that does not hold the segment is not switched to', async () => {
  // Killed after the new one had let go, before the log said so.
  const [a, b] = [memoryInstance('a', { 1: 0 }), memoryInstance('b', {})]
  const { mover, phases } = memoryMover([a, b], logOf({ phase: 'verifying' }))
  await mover.start()
  await mover.switched(SEGMENT)
  expect(phases).toEqual(['copying', 'joining', 'verifying', 'switched'])
  expect(mover.readers(SEGMENT)).toEqual(['b'])
  await mover.stop()
})

test('where the new replica loses its disk while the move is reversible, the old one answers and stays', async () => {
  const [a, b] = [memoryInstance('a', { 1: 5 }), memoryInstance('b', {})]
  const { mover, elapse } = memoryMover([a, b], memoryLog())
  await mover.start()
  await mover.move(SEGMENT, MOVE)
  expect(mover.readers(SEGMENT)).toEqual(['b'])
  b.loseDisk()
  expect(mover.readers(SEGMENT)).toEqual(['a'])
  await elapse()
  await mover.settled()
  expect(mover.states()[0]).toMatchObject({ phase: 'reversed' })
  expect(rowsOf(a)).toEqual({ rows: 5, holds: true, aside: 0 })
  await mover.stop()
})

test.each(['move', 'drop'] as const)(
  'after a restart the last replica is not dropped, whatever the log says: %s',
  async (kind) => {
    const [a, b] = [memoryInstance('a', { 1: 5 }), memoryInstance('b', {})]
    const to = kind === 'move' ? 'b' : ''
    const { mover } = memoryMover([a, b], logOf({ phase: 'dropping', kind, to }))
    await mover.start()
    await mover.settled()
    expect(mover.states()[0]).toMatchObject({ phase: 'reversed', reason: 'nobody else holds the segment' })
    expect(mover.readers(SEGMENT)).toEqual(['a'])
    expect(rowsOf(a).rows).toBe(5)
    await mover.stop()
  },
)

test('where neither holds the segment, what the old one has is kept', async () => {
  const [a, b] = [memoryInstance('a', { 1: 5 }), memoryInstance('b', {})]
  a.held.clear()
  const { mover } = memoryMover([a, b], logOf({ phase: 'dropping' }))
  await mover.start()
  await mover.settled()
  expect(mover.states()[0]).toMatchObject({ phase: 'failed' })
  expect(rowsOf(a).rows).toBe(5)
  await mover.stop()
})

test('a way back on which the old replica is gone is not taken', async () => {
  const [a, b] = [memoryInstance('a', {}), memoryInstance('b', { 1: 5 })]
  const { mover } = memoryMover([a, b], logOf({ phase: 'reversing' }))
  await mover.start()
  await mover.settled()
  expect(mover.states()[0]).toMatchObject({ phase: 'failed', reason: 'b is the last that holds the segment' })
  expect(mover.readers(SEGMENT)).toEqual(['b'])
  await mover.stop()
})

test('tables that change while a segment is copied: the copy begins anew, and nothing is left of the first', async () => {
  const [a, b] = [memoryInstance('a', { 1: 5 }), memoryInstance('b', {})]
  let refused = 0
  b.onStatement = (what) => {
    if (what === 'attach' && refused++ === 0)
      throw refusal('WAREHOUSE_REJECTED', 'Tables have different structure')
  }
  const { mover, phases } = memoryMover([a, b], memoryLog())
  await mover.start()
  expect(await mover.move(SEGMENT, MOVE)).toMatchObject({ phase: 'switched', attempt: 2 })
  expect(phases).toEqual(['copying', 'joining', 'copying', 'joining', 'verifying', 'switched'])
  expect(rowsOf(b)).toEqual({ rows: 5, holds: true, aside: 0 })
  await mover.stop()
})

test.each([
  ['copyFrom', 'WAREHOUSE_UNAVAILABLE', 'NOT_ENOUGH_SPACE'],
  ['stage', 'WAREHOUSE_REJECTED', 'UNKNOWN_TABLE'],
  ['attach', 'WAREHOUSE_REJECTED', 'different structure'],
] as const)(
  'what the new instance goes on refusing (%s) ends the move: the old one stays',
  async (step, code, text) => {
    const [a, b] = [memoryInstance('a', { 1: 5 }), memoryInstance('b', {})]
    b.onStatement = (what) => {
      if (what === step) throw refusal(code, text)
    }
    const { mover } = memoryMover([a, b], memoryLog())
    await mover.start()
    const ended = await mover.move(SEGMENT, MOVE)
    expect(ended).toMatchObject({ phase: 'failed', reason: expect.stringContaining(text) })
    expect(mover.readers(SEGMENT)).toEqual(['a'])
    expect([rowsOf(a), rowsOf(b)]).toEqual([
      { rows: 5, holds: true, aside: 0 },
      { rows: 0, holds: false, aside: 0 },
    ])
    await mover.stop()
  },
)

test('moves to an instance that is away leave their places to others', async () => {
  const [a, b, c] = [
    memoryInstance('a', { 0: 1, 1: 5, 2: 1 }),
    memoryInstance('b', {}),
    memoryInstance('c', {}),
  ]
  const list = [a.peer, c.peer]
  const configured = (name: string): boolean => ['a', 'b', 'c'].includes(name)
  const log = memoryLog()
  for (const segment of [0, 2])
    log.standing.set(`away-${segment}`, state({ move_id: `away-${segment}`, segment }))
  const { mover } = memoryMover([a, c], log, { peers: list, isConfigured: configured })
  await mover.start()
  expect(await mover.move(SEGMENT, { ...MOVE, to: 'c' })).toMatchObject({ phase: 'switched' })
  expect(mover.states().filter(({ phase }) => phase === 'copying')).toHaveLength(2)
  // Once it answers they go on.
  list.push(b.peer)
  await mover.switched(0)
  await mover.switched(2)
  expect(b.held).toEqual(new Set([0, 2]))
  await mover.stop()
})

test.each([
  ['copying', 'b', 'failed', ['a']],
  ['verifying', 'b', 'failed', ['a']],
  ['switched', 'b', 'reversed', ['a']],
  ['dropping', 'b', 'reversed', ['a']],
  ['reversing', 'b', 'reversed', ['a']],
  ['copying', 'a', 'failed', []],
  ['verifying', 'a', 'failed', ['b']],
  ['switched', 'a', 'done', ['b']],
  ['dropping', 'a', 'done', ['b']],
  ['reversing', 'a', 'done', ['b']],
] as const)(
  '%s: a move ends when %s is taken out of the configuration: %s',
  async (phase, gone, end, readers) => {
    const a = memoryInstance('a', { 1: 5 })
    const b = memoryInstance('b', phase === 'copying' ? {} : { 1: 5 })
    const present = [a, b].filter(({ name }) => name !== gone)
    const { mover } = memoryMover(present, logOf({ phase }))
    await mover.start()
    await mover.switched(SEGMENT)
    await mover.settled()
    expect(mover.states()[0]).toMatchObject({ phase: end, reason: `${gone} is no instance any more` })
    expect(mover.readers(SEGMENT)).toEqual(readers)
    await mover.stop()
  },
)

test('a stop does not wait for an instance that is away', async () => {
  for (const phase of ['copying', 'joining', 'verifying', 'dropping', 'reversing'] as const) {
    const a = memoryInstance('a', { 1: 5 })
    const b = memoryInstance('b', phase === 'copying' || phase === 'joining' ? {} : { 1: 5 })
    for (const instance of [a, b]) instance.isAway = true
    const { mover } = memoryMover([a, b], logOf({ phase }))
    await mover.start()
    await setImmediate()
    await mover.stop()
    expect(mover.states()[0]).toMatchObject({ phase })
  }
})

test('a phase whose write was not answered is written again, and not done again', async () => {
  const [a, b] = [memoryInstance('a', { 1: 5 }), memoryInstance('b', {})]
  const log = memoryLog()
  const unknown = new ForestallError('TRANSACTION_UNKNOWN', 'not answered')
  log.losses.push(unknown, unknown)
  const { mover, phases, warnings } = memoryMover([a, b], log)
  await mover.start()
  expect(await mover.move(SEGMENT, MOVE)).toMatchObject({ phase: 'switched' })
  expect(phases).toEqual(['copying', 'joining', 'verifying', 'switched'])
  expect(warnings).toEqual(['not answered', 'not answered'])
  await mover.stop()
})

test('a way back that comes too late is a move of its own', async () => {
  const [a, b] = [memoryInstance('a', { 1: 5 }), memoryInstance('b', {})]
  const log = memoryLog()
  const back = Promise.withResolvers<DataMoveState>()
  const { mover, elapse } = memoryMover([a, b], {
    ...log,
    async append(next) {
      if (next.move_id === 'm' && next.phase === 'dropping')
        back.resolve(mover.move(SEGMENT, { move_id: 'back', kind: 'move', from: 'b', to: 'a' }))
      return log.append(next)
    },
  })
  await mover.start()
  await mover.move(SEGMENT, MOVE)
  await elapse()
  expect(await back.promise).toMatchObject({ phase: 'switched', move_id: 'back' })
  expect(mover.readers(SEGMENT)).toEqual(['a'])
  await mover.stop()
})

test('a move that begins while the mover stops is refused, and waits for nobody', async () => {
  const [a, b] = [memoryInstance('a', { 1: 5 }), memoryInstance('b', {})]
  const log = memoryLog()
  const { mover } = memoryMover([a, b], log)
  await mover.start()
  const moving = mover.move(SEGMENT, MOVE)
  const stopped = mover.stop()
  await expect(moving).rejects.toMatchObject({ code: 'REPLICA_LATE' })
  await stopped
})
