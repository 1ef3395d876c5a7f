import { describe, expect, test } from 'vitest'
import type {
  Broker,
  ForestallError,
  GroupReader,
  TopicPartition,
} from '../../../pipelines/core/ports/index.ts'
import { BackPressure } from '../../../pipelines/core/runtime/back-pressure.ts'
import { createCounters } from '../../../pipelines/core/runtime/index.ts'
import type { Task } from '../../../pipelines/core/runtime/index.ts'
import { failOnLeaks } from '../../support/leaks.ts'
import { until } from '../../support/until.ts'
import { lines, offline } from './fixtures.ts'
import { FEATURES, newWorld, sender, type World } from './worker-world.ts'

failOnLeaks()

const taskOn = (topic: string, partition: number, watermarkMs: number): Task => ({
  id: `${topic}/${partition}`,
  inputs: [{ topic, partition }],
  restore: async () => new Map(),
  process: async () => undefined,
  tick: () => undefined,
  urgent: false,
  prepareCommit: () => [],
  watermarkMs,
  bytes: 0,
})

describe('back-pressure', () => {
  function world() {
    const paused = new Set<string>()
    const keyOf = (p: TopicPartition) => `${p.topic}/${p.partition}`
    const reader: GroupReader = {
      start: async () => undefined,
      close: async () => undefined,
      pause: (list) => list.forEach((p) => paused.add(keyOf(p))),
      resume: (list) => list.forEach((p) => paused.delete(keyOf(p))),
      silenceMs: () => 0,
    }
    const counters = createCounters()
    const warnings: Error[] = []
    const pressure = new BackPressure({
      name: 'test',
      maxStateBytes: 1000,
      sources: new Set(['in']),
      counters,
      warn: (error) => warnings.push(error),
    })
    return { paused, reader, counters, warnings, pressure }
  }
  const tasks = [taskOn('in', 0, 5000), taskOn('in', 1, 100), taskOn('partials', 0, 0)]

  test('sources that are ahead pause before the bound is reached, and go on well below that', () => {
    const { paused, reader, counters, warnings, pressure } = world()
    pressure.update(tasks, 700, false, reader)
    expect([...paused]).toEqual([])
    pressure.update(tasks, 701, false, reader)
    expect([...paused]).toEqual(['in/0'])
    expect(tasks.map((task) => pressure.holds(task))).toEqual([true, false, false])
    pressure.update(tasks, 650, false, reader)
    expect([...paused]).toEqual(['in/0'])
    pressure.update(tasks, 629, false, reader)
    expect([...paused]).toEqual([])
    expect(counters).toMatchObject({ pauses: 1, pausedPartitions: 0 })
    expect(warnings).toEqual([])
  })

  test('if those behind do not bring it down, all sources pause, and it is said once', () => {
    const { paused, reader, warnings, pressure } = world()
    pressure.update(tasks, 1000, false, reader)
    expect([...paused]).toEqual(['in/0'])
    pressure.update(tasks, 1001, false, reader)
    pressure.update(tasks, 1001, false, reader)
    expect([...paused].sort()).toEqual(['in/0', 'in/1'])
    expect(warnings.map((e) => (e as ForestallError).code)).toEqual(['STATE_TOO_LARGE'])
    // What is on its way has been merged and has closed windows: those behind go on.
    pressure.update(tasks, 1000, false, reader)
    expect([...paused]).toEqual(['in/0'])
  })

  test('output that cannot be committed stops everything until it can', () => {
    const { paused, reader, pressure } = world()
    pressure.update(tasks, 0, true, reader)
    expect([...paused].sort()).toEqual(['in/0', 'in/1', 'partials/0'])
    pressure.update(tasks, 0, false, reader)
    expect([...paused]).toEqual([])
  })
})

const found = async (world: World) => lines(await world.read(FEATURES, 'StreamFeature'))

describe('a worker at its bounds', () => {
  test('state at maxStateBytes: reading stops with STATE_TOO_LARGE; with more room all is made good', async () => {
    const world = await newWorld()
    const input = sender(world)
    const tight = await world.launch('a', { maxStateBytes: 1 })
    for (let p = 0; p < 3; p++) input.send(p, 10, p, 1)
    await until(() => tight.worker.counters.pausedPartitions === 3, { what: 'all sources pause' })
    const before = tight.worker.counters.recordsIn
    for (let i = 0; i < 300; i++) input.send(i % 3, 10, i % 100, i)
    await new Promise((resolve) => setImmediate(resolve))
    expect(tight.worker.counters.recordsIn).toBe(before)
    expect(tight.warnings.map((e) => (e as ForestallError).code)).toEqual(['STATE_TOO_LARGE'])
    await tight.worker.stop()
    tight.kill()
    await world.launch('a')
    world.end()
    await world.flushed()
    expect(await found(world)).toEqual(offline(input.flows, 1000))
    await world.close()
  })

  test('a commit that hangs: work goes on up to maxPendingBytes and no further', async () => {
    const world = await newWorld()
    const input = sender(world)
    const open = Promise.withResolvers<void>()
    const hanging = (broker: Broker): Broker => ({
      ...broker,
      transactionalProducer(options) {
        const producer = broker.transactionalProducer(options)
        let pending = 0
        return Object.defineProperties(Object.create(producer) as typeof producer, {
          pendingBytes: { get: () => pending },
          add: {
            value: (...record: Parameters<typeof producer.add>) => {
              pending += 100 + (record[4]?.length ?? 0)
              producer.add(...record)
            },
          },
          commit: {
            value: async () => {
              const ending = producer.commit()
              await open.promise
              await ending
              pending = 0
            },
          },
        })
      },
    })
    const { worker } = await world.launch('a', { maxPendingBytes: 2000 }, hanging)
    let sent = 0
    // Each record closes a window, whose rows and marks are output.
    for (; sent < 2000 && worker.counters.recordsIn > sent - 200; sent++) {
      world.clock.set(world.clock.nowMs() + 1700)
      input.send(0, 1700, sent % 5, sent)
      for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve))
    }
    expect(sent).toBeLessThan(2000)
    const { recordsIn } = worker.counters
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(worker.counters.recordsIn).toBe(recordsIn)
    open.resolve()
    world.end()
    await world.flushed()
    expect(await found(world)).toEqual(offline(input.flows, 1000))
    await world.close()
  })

  test('a hot key takes no more state than a cold one', async () => {
    const world = await newWorld()
    const input = sender(world)
    const { worker } = await world.launch('a')
    for (let i = 0; i < 3; i++) input.send(i, 0, 1, i)
    await world.caughtUp()
    const bytes = worker.bytes()
    for (let i = 0; i < 20_000; i++) input.send(i % 3, 0, 1, i % 1000)
    await world.caughtUp()
    expect(worker.counters.recordsIn).toBe(20_003)
    expect(worker.bytes()).toBe(bytes)
    world.end()
    await world.flushed()
    expect(await found(world)).toEqual(offline(input.flows, 1000))
    await world.close()
  })
})
