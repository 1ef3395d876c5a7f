import { Buffer } from 'node:buffer'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type Broker,
  ForestallError,
  type GroupHandler,
  type TransactionalProducer,
} from '../../../pipelines/core/ports/index.ts'
import { failOnLeaks } from '../../support/leaks.ts'
import { until } from '../../support/until.ts'
import { flow, flowWindows, lines, offline } from './fixtures.ts'
import { liveThrough, lives } from './worker-lives.ts'
import {
  createWorld,
  expectWhole,
  FEATURES,
  FLOWS,
  LETTERS,
  NOW,
  newWorld,
  sender,
  type World,
} from './worker-world.ts'

failOnLeaks()

const found = async (world: World) => lines(await world.read(FEATURES, 'StreamFeature'))

describe('exactly once', () => {
  test('over stops, kills and rebalances at any point, the output is the one computed offline', async () => {
    await fc.assert(
      fc.asyncProperty(lives({ aheadMs: 700, stream: 4 }), async (steps) => {
        const world = await newWorld()
        const flows = await liveThrough(world, steps)
        expect(await found(world)).toEqual(offline(flows, 1000))
        await world.close()
      }),
      { numRuns: 40 },
    )
  })

  test('two workers share the partitions, and a third that joins with windows open changes nothing', async () => {
    const world = await newWorld()
    const input = sender(world)
    await world.launch('a')
    const b = await world.launch('b')
    for (let i = 0; i < 60; i++) input.send(i % 3, 130, i % 5, i)
    await world.caughtUp()
    expect(b.worker.tasks().length).toBeGreaterThan(0)
    await world.launch('c')
    for (let i = 0; i < 60; i++) input.send(i % 3, 130, i % 5, i)
    await b.worker.stop()
    b.kill()
    await world.broker.expire()
    world.end()
    await world.flushed()
    expect(await found(world)).toEqual(offline(input.flows, 1000))
    await world.close()
  })

  test('dead letters stand once each, however often their stretch is read again', async () => {
    const world = await newWorld()
    const input = sender(world)
    let process = await world.launch('a')
    for (let i = 0; i < 4; i++) {
      input.send(0, 100, 1, i)
      world.sendBytes(0, Buffer.from(`rubbish ${i}`))
      await world.caughtUp()
      await process.worker.stop()
      process.kill()
      process = await world.launch('a')
    }
    world.end()
    await world.flushed()
    expect(process.worker.counters.replayed).toBe(8)
    const letters = await world.read(LETTERS, 'DeadLetter')
    expect(letters.map((l) => `${l.topic} ${l.offset} ${l.reason_code}`)).toEqual(
      [1, 3, 5, 7].map((offset) => `${FLOWS} ${offset} RECORD_UNDECODABLE`),
    )
    expect(await found(world)).toEqual(offline(input.flows, 1000))
    await world.close()
  })
})

test('a worker whose slot is taken over ends, and its successor goes on', async () => {
  const world = await newWorld()
  const input = sender(world)
  const old = await world.launch('a')
  input.send(0, 100, 1, 5)
  await world.caughtUp()
  await world.launch('a')
  const error = await old.fatal
  expect(['INSTANCE_FENCED', 'PRODUCER_FENCED']).toContain((error as ForestallError).code)
  await old.worker.stop()
  expect(old.worker.tasks()).toEqual([])
  old.kill()
  input.send(1, 100, 1, 6)
  world.end()
  await world.flushed()
  expect(await found(world)).toEqual(offline(input.flows, 1000))
  await world.close()
})

/** A broker on which some calls fail. */
function failing(
  broker: Broker,
  faults: {
    producer?: (p: TransactionalProducer) => Partial<TransactionalProducer>
    start?: () => Promise<void>
    onHandler?: (handler: GroupHandler) => void
    onReader?: (delta: 1 | -1) => void
  },
): Broker {
  return {
    ...broker,
    transactionalProducer(options) {
      const producer = broker.transactionalProducer(options)
      const changed = faults.producer?.(producer) ?? {}
      // Getters of the producer stay getters.
      return Object.assign(Object.create(producer) as TransactionalProducer, changed)
    },
    groupReader(options, handler) {
      const reader = broker.groupReader(options, handler)
      faults.onHandler?.(handler)
      let open = false
      return {
        ...reader,
        async start() {
          open = true
          faults.onReader?.(1)
          await faults.start?.()
          await reader.start()
        },
        async close() {
          if (open) faults.onReader?.(-1)
          open = false
          await reader.close()
        },
      }
    },
  }
}

describe('failures', () => {
  test.each([
    ['before it took effect', false],
    ['after it took effect: its answer never came', true],
  ])('a commit that fails %s is made good from what stands in Kafka', async (_what, tookEffect) => {
    const world = await newWorld()
    const input = sender(world)
    let left = 5
    const process = await world.launch('a', {}, (broker) =>
      failing(broker, {
        producer: (p) => ({
          async commit() {
            if (left === 0 || !p.dirty || left-- % 2 === 0) return p.commit()
            if (tookEffect) await p.commit()
            throw new ForestallError('TRANSACTION_UNKNOWN', 'no answer')
          },
        }),
      }),
    )
    for (let i = 0; i < 40; i++) {
      input.send(i % 3, 200, i % 4, i)
      if (i % 8 === 0) await world.caughtUp()
    }
    world.end()
    await world.flushed()
    expect(left).toBe(0)
    expect(process.warnings.length).toBeGreaterThan(0)
    expect(process.worker.counters.aborts).toBeGreaterThan(0)
    expect(await found(world)).toEqual(offline(input.flows, 1000))
    expectWhole(await world.read('audit.offsets', 'OffsetLedger'), input.flows.length)
    await world.close()
  })

  test('errors while it joins again lead to one recovery after the other, never to two readers', async () => {
    const world = await newWorld()
    const input = sender(world)
    const handlers: GroupHandler[] = []
    let readers = 0
    let most = 0
    let failures = 0
    const process = await world.launch('a', {}, (broker) =>
      failing(broker, {
        onHandler: (handler) => handlers.push(handler),
        onReader: (delta) => {
          readers += delta
          most = Math.max(most, readers)
        },
        async start() {
          if (handlers.length === 1 || failures === 2) return
          failures++
          handlers.at(-1)?.onError(new Error('lost while it joins'))
          await Promise.resolve()
          if (failures === 2) throw new Error('cannot join')
        },
      }),
    )
    input.send(0, 100, 1, 1)
    handlers[0]?.onError(new Error('connection lost'))
    handlers[0]?.onError(new Error('connection lost'))
    await until(() => failures === 2 && process.worker.tasks().length > 0, { what: 'it has joined again' })
    world.end()
    await world.flushed()
    expect({ most, readers }).toEqual({ most: 1, readers: 1 })
    expect(await found(world)).toEqual(offline(input.flows, 1000))
    await world.close()
    expect(readers).toBe(0)
  })

  test('stop during a recovery ends it and leaves nobody in the group', async () => {
    const world = await newWorld()
    const aborting = Promise.withResolvers<void>()
    const broken = Promise.withResolvers<void>()
    const handlers: GroupHandler[] = []
    let readers = 0
    const process = await world.launch('a', {}, (broker) =>
      failing(broker, {
        onHandler: (handler) => handlers.push(handler),
        onReader: (delta) => void (readers += delta),
        producer: (p) => ({
          async abort() {
            aborting.resolve()
            await broken.promise
            return p.abort()
          },
          async close() {
            broken.resolve()
            return p.close()
          },
        }),
      }),
    )
    handlers[0]?.onError(new Error('connection lost'))
    await aborting.promise
    await process.worker.stop()
    expect({ readers, joins: handlers.length }).toEqual({ readers: 0, joins: 1 })
    await world.close()
  })
})

test('windows whose records retention has removed are incomplete, also after a further restart', async () => {
  const world = await createWorld(flowWindows({ graceMs: 500 }), { [FEATURES]: 2 })
  let process = await world.launch('a')
  world.send(0, flow(NOW + 100, 'a', 1))
  world.send(0, flow(NOW + 200, 'a', 2))
  await world.caughtUp()
  const restart = async () => {
    await process.worker.stop()
    process.kill()
    process = await world.launch('a')
  }
  await process.worker.stop()
  world.broker.trim(FLOWS, 0, 1)
  await restart()
  expect(process.warnings.map((e) => (e as ForestallError).code)).toEqual(['OFFSET_OUT_OF_RANGE'])
  world.send(0, flow(NOW + 300, 'a', 4))
  await world.caughtUp()
  await restart()
  world.send(0, flow(NOW + 2_100, 'a', 8))
  world.end()
  await world.flushed()
  const rows = await world.read(FEATURES, 'StreamFeature')
  expect(rows.map((r) => [r.window_start_ms, r.bytes, r.incomplete])).toEqual([
    [NOW, 6, true],
    [NOW + 2000, 8, false],
  ])
  await world.close()
})
