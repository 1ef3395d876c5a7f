import { afterEach, expect, test } from 'vitest'
import type { RecordCodec } from '#core/codec'
import { mulberry32, systemClock } from '#core/ports'
import {
  createMemoryBroker,
  type MemoryBroker,
} from '../../../pipelines/core/runtime/testing/memory-broker.ts'
import {
  type Applier,
  blockForAll,
  createLogWriter,
  storeFirstStates,
} from '../../../pipelines/data-sharding/log/index.ts'
import { segmentOf } from '../../../pipelines/data-sharding/placement/hash.ts'
import { until } from '../../support/until.ts'
import { applierOf, beginWith, blocksOf, LAYOUT, openTestCodec, TOPIC, write } from './log-bench.ts'
import { createMemoryReplica, type MemoryReplica } from './replica.ts'

const ALL = Array.from({ length: LAYOUT.segments }, (_, s) => s)
const FOREVER = new AbortController().signal
const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function open(): Promise<{ broker: MemoryBroker; codec: RecordCodec }> {
  const broker = createMemoryBroker()
  closing.push(() => broker.close())
  await broker.admin().ensureTopics([{ name: TOPIC, partitions: LAYOUT.partitions }])
  return { broker, codec: await openTestCodec() }
}

async function start(
  at: { broker: MemoryBroker; codec: RecordCodec },
  store: MemoryReplica,
  segments: readonly number[] = [],
  settled?: () => Promise<void>,
): Promise<Applier & { crash(): Promise<void> }> {
  const client = at.broker.connect()
  await beginWith(store, segments)
  const applier = applierOf(client, at.codec, store, settled)
  closing.push(() => applier.stop())
  await applier.start()
  return Object.assign(applier, {
    async crash() {
      client.kill()
      await applier.stop()
    },
  })
}

const row = (i: number): [string, string] => [`k${i % 40}`, String(i)]
const segmentOfRow = (text: string): number => segmentOf(text.slice(0, text.indexOf('=')), LAYOUT.segments)

async function ends(broker: MemoryBroker): Promise<number[]> {
  const list = ALL.slice(0, LAYOUT.partitions).map((partition) => ({ topic: TOPIC, partition }))
  return [...(await broker.admin().offsets(list, 'stable')).values()]
}

/** Waits until every segment held has been applied up to the end of the log. */
async function level(broker: MemoryBroker, applier: Applier): Promise<void> {
  const last = await ends(broker)
  for (const s of applier.segments()) await applier.reached(s, last[s % LAYOUT.partitions] ?? 0, FOREVER)
}

test('each row once, although appliers crash and answers are lost at every third call', async () => {
  const at = await open()
  const store = createMemoryReplica()
  store.loseAnswers(3)
  const random = mulberry32(5)
  const written: string[] = []
  let applier = await start(at, store, ALL)
  for (let i = 0; i < 120; i++) {
    const rows = Array.from({ length: 1 + (random.uint32() % 6) }, (_, j) => row(10 * i + j))
    written.push(...rows.map(([k, v]) => `${k}=${v}`))
    await write(at.broker, at.codec, blocksOf(`i${i}`, rows, { maxBytes: 20 }))
    if (random.uniform() < 0.1) {
      await applier.crash()
      applier = await start(at, store)
    }
  }
  await level(at.broker, applier)
  expect(store.rows('db.t').sort()).toEqual(written.sort())
  expect(applier.segments()).toEqual(ALL)
})

test('rows of a segment stay in order, and those of other segments stay away', async () => {
  const at = await open()
  const store = createMemoryReplica()
  const applier = await start(at, store, [1, 4, 6])
  for (let i = 0; i < 60; i++) await write(at.broker, at.codec, blocksOf(`i${i}`, [row(i), row(i + 7)]))
  await level(at.broker, applier)
  const found = store.rows('db.t')
  expect(new Set(found.map(segmentOfRow))).toEqual(new Set([1, 4, 6]))
  for (const segment of [1, 4, 6]) {
    const key = found.filter((r) => segmentOfRow(r) === segment).map((r) => r.slice(0, r.indexOf('=')))[0]
    const values = found
      .filter((r) => r.startsWith(`${key}=`))
      .map((r) => Number(r.slice(r.indexOf('=') + 1)))
    expect(values.length).toBeGreaterThan(1)
    expect(values).toEqual(values.toSorted((a, b) => a - b))
  }
})

test('a segment joins from an earlier offset, through crashes, while the log grows; then it is released', async () => {
  const at = await open()
  const store = createMemoryReplica()
  let applier = await start(at, store, [0, 1])
  const written: string[] = []
  let i = 0
  const writeSome = async (n: number): Promise<void> => {
    for (const last = i + n; i < last; i++) {
      written.push(row(i).join('='))
      await write(at.broker, at.codec, blocksOf(`i${i}`, [row(i)]))
    }
  }
  const wanted = (...segments: number[]) => written.filter((r) => segments.includes(segmentOfRow(r))).sort()
  await writeSome(300)
  await level(at.broker, applier)
  store.loseAnswers(4)
  const joined = applier.hold(2, 0)
  joined.catch(() => undefined)
  await writeSome(20)
  await applier.crash()
  applier = await start(at, store)
  await writeSome(20)
  await applier.hold(2, 0)
  await writeSome(20)
  await level(at.broker, applier)
  expect(applier.segments()).toEqual([0, 1, 2])
  expect(store.rows('db.t').sort()).toEqual(wanted(0, 1, 2))

  await applier.release(2)
  store.removeRows('db.t', (r) => segmentOfRow(r) === 2)
  await writeSome(40)
  await level(at.broker, applier)
  expect(applier.nextOf(2)).toBe(-1)
  expect(store.rows('db.t').sort()).toEqual(wanted(0, 1))
  // What was applied before the drop is applied again: it is another attempt.
  await applier.hold(2, 0)
  await level(at.broker, applier)
  expect(store.rows('db.t').sort()).toEqual(wanted(0, 1, 2))
})

test('a segment whose rows are refused while it joins ends, and holds nobody up, across restarts', async () => {
  const at = await open()
  const store = createMemoryReplica()
  let applier = await start(at, store, [0, 1])
  for (let i = 0; i < 100; i++) await write(at.broker, at.codec, blocksOf(`i${i}`, [row(i)]))
  await level(at.broker, applier)
  // A statement that came after them has dropped one of their columns.
  store.refuse((token) => /:2-/.test(token))
  await expect(applier.hold(2, 0)).rejects.toMatchObject({ code: 'WAREHOUSE_REJECTED' })
  expect(applier.nextOf(2)).toBe(-1)
  const [stored] = await store.loadApplied(TOPIC)
  expect(stored?.joining).toEqual([])
  // What a process before this one has begun ends in the same way.
  const joining = [{ segment: 2, next: 0, attempt: 'join1' }]
  const of2 = (await store.loadApplied(TOPIC)).find(({ partition }) => partition === 2 % LAYOUT.partitions)
  if (of2 === undefined) throw new Error('no state')
  await applier.stop()
  await store.saveApplied(TOPIC, { ...of2, version: of2.version + 1, joining })
  applier = await start(at, store)
  await until(() => applier.nextOf(2) === -1, { what: 'the join has ended' })
  await write(at.broker, at.codec, blocksOf('last', [row(7), row(8), row(9), row(10)]))
  await level(at.broker, applier)
  expect(applier.health().partitions.map(({ blockedBy }) => blockedBy)).toEqual(
    Array.from({ length: LAYOUT.partitions }, () => ''),
  )
})

test('a segment is not held from an offset that lies ahead, and ends with its release', async () => {
  const at = await open()
  const applier = await start(at, createMemoryReplica(), [0])
  await expect(applier.hold(2, 99)).rejects.toMatchObject({ code: 'REQUEST_INVALID' })
  expect(applier.nextOf(2)).toBe(-1)
  expect(await applier.reached(2, 1, AbortSignal.timeout(20))).toBe(false)
})

test('between holds a partition still, and everything below the offset it is told has been applied', async () => {
  const at = await open()
  const store = createMemoryReplica()
  const applier = await start(at, store, ALL)
  await write(at.broker, at.codec, blocksOf('a', [row(0), row(1), row(2), row(3)]))
  await level(at.broker, applier)
  await applier.between(0, async (next) => {
    const before = store.rows('db.t').length
    await write(
      at.broker,
      at.codec,
      blocksOf(
        'b',
        Array.from({ length: 40 }, (_, i) => row(i)),
      ),
    )
    await applier.reached(1, (await ends(at.broker))[1] ?? 0, FOREVER)
    expect(applier.next(0)).toBe(next)
    expect(
      store
        .rows('db.t')
        .slice(before)
        .every((r) => segmentOfRow(r) % 2 === 1),
    ).toBe(true)
  })
  await level(at.broker, applier)
  expect(store.rows('db.t')).toHaveLength(44)
})

test('a statement runs once per replica, after all rows before it, whatever crashes', async () => {
  const at = await open()
  const store = createMemoryReplica()
  const writer = createLogWriter({ ...at, topic: TOPIC, clock: systemClock })
  closing.push(() => writer.close())
  await writer.start()
  store.loseAnswers(5)
  let applier = await start(at, store, ALL)
  for (let i = 0; i < 12; i++) {
    await writer.append(blocksOf(`i${i}`, [row(i), row(i + 1), row(i + 2)]))
    const statement = { id: `s${i}`, database: 'db', statement: `ALTER ${i}`, issuedAtMs: 1 }
    if (i % 3 === 0) await writer.appendInOrder(blockForAll(LAYOUT, 'statement', statement))
    if (i % 4 === 1) {
      await applier.crash()
      applier = await start(at, store)
    }
  }
  await level(at.broker, applier)
  await until(() => store.statements.length === 4)
  expect(store.statements).toEqual(['ALTER 0', 'ALTER 3', 'ALTER 6', 'ALTER 9'])
  expect(store.rows('db.t')).toHaveLength(36)
})

test('rows are applied at once after a takeover; statements that the one before may have sent wait', async () => {
  const at = await open()
  const store = createMemoryReplica()
  const writer = createLogWriter({ ...at, topic: TOPIC, clock: systemClock })
  closing.push(() => writer.close())
  await writer.start()
  const first = await start(at, store, ALL)
  const statement = (id: string) =>
    writer.appendInOrder(
      blockForAll(LAYOUT, 'statement', { id, database: 'db', statement: id, issuedAtMs: 1 }),
    )
  await first.stop()
  await writer.append(blocksOf('before', [row(1), row(2), row(3), row(4)]))
  await statement('known')
  const settled = Promise.withResolvers<void>()
  const next = await start(at, store, [], () => settled.promise)
  await until(() => store.rows('db.t').length === 4, { what: 'the rows before the statement' })
  await statement('new')
  await writer.append(blocksOf('after', [row(5), row(6), row(7), row(8)]))
  await until(() => next.health().partitions.every(({ blockedBy }) => blockedBy === ''))
  expect(store.statements).toEqual([])
  expect(store.rows('db.t')).toHaveLength(4)
  settled.resolve()
  await until(() => store.rows('db.t').length === 8, { what: 'the rows behind the statements' })
  expect(store.statements).toEqual(['known', 'new'])
})

test('a statement that nobody before can have seen waits for nothing; a replica that was restarted does', async () => {
  const at = await open()
  const store = createMemoryReplica()
  const writer = createLogWriter({ ...at, topic: TOPIC, clock: systemClock })
  closing.push(() => writer.close())
  await writer.start()
  const settled = Promise.withResolvers<void>()
  const one = await start(at, store, ALL, () => settled.promise)
  const statement = { id: 's', database: 'db', statement: 'new', issuedAtMs: 1 }
  await writer.appendInOrder(blockForAll(LAYOUT, 'statement', statement))
  await until(() => store.statements.length === 1)
  await one.stop()
  const [state] = await store.loadApplied(TOPIC)
  if (state === undefined) throw new Error('no state')
  await store.saveApplied(TOPIC, { ...state, version: state.version + 1, hasRestarted: true })
  let isStarted = false
  const two = start(at, store, [], () => settled.promise).then(() => (isStarted = true))
  await writer.append(blocksOf('i', [row(1)]))
  expect(isStarted).toBe(false)
  settled.resolve()
  expect(await two).toBe(true)
})

test('a writer learns where its blocks lie, and a repeat with a token is not written again', async () => {
  const at = await open()
  const writer = createLogWriter({ ...at, topic: TOPIC, clock: systemClock })
  closing.push(() => writer.close())
  await writer.start()
  const blocks = blocksOf('repeat:db.t:x', [row(1), row(2), row(3)], { repeatToken: 'x' })
  const places = await writer.append(blocks)
  expect(places.map((p) => p.offset)).toEqual(blocks.map(() => 0))
  expect(await writer.append(blocks)).toEqual(places)
  // A writer that starts later knows it too.
  const second = createLogWriter({ ...at, topic: TOPIC, clock: systemClock })
  closing.push(() => second.close())
  await second.start()
  const later = await second.append(blocksOf('other', [row(9)]))
  expect(later[0]?.offset).toBe(1)
  expect(await second.append(blocks)).toEqual(expect.arrayContaining(places))
  expect(await ends(at.broker)).toEqual(expect.arrayContaining([2, 1]))
})

test('a new replica with segments is refused once the log has lost its beginning', async () => {
  const at = await open()
  await write(
    at.broker,
    at.codec,
    blocksOf(
      'a',
      Array.from({ length: 30 }, (_, i) => row(i)),
      { maxBytes: 20 },
    ),
  )
  at.broker.trim(TOPIC, 0, 2)
  const full = createMemoryReplica()
  const store = createMemoryReplica()
  const mark = new Map((await ends(at.broker)).map((end, partition) => [partition, end]))
  const first = {
    broker: at.broker,
    topic: TOPIC,
    layout: LAYOUT,
    clock: systemClock,
    replicas: 1,
    store,
    others: [full],
    place: 1,
    markLog: async () => mark,
  }
  await expect(storeFirstStates(first)).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
  await expect(applierOf(at.broker, at.codec, store).start()).rejects.toMatchObject({ code: 'NOT_FOUND' })
  // Where another one holds everything it begins with nothing, behind the mark.
  for (const [partition, next] of mark) {
    const segments = ALL.filter((s) => s % LAYOUT.partitions === partition)
    await full.saveApplied(TOPIC, { partition, version: 1, next, segments, joining: [] })
  }
  await storeFirstStates(first)
  const empty = await start(at, store)
  expect(empty.segments()).toEqual([])
  expect([empty.next(0), empty.next(1)]).toEqual(await ends(at.broker))
})
