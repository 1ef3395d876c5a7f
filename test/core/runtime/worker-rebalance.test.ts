import { describe, expect, test } from 'vitest'
import type { Broker, GroupHandler } from '../../../pipelines/core/ports/index.ts'
import { failOnLeaks } from '../../support/leaks.ts'
import { until } from '../../support/until.ts'
import { lines, offline } from './fixtures.ts'
import { expectWhole, FEATURES, newWorld, sender, type World } from './worker-world.ts'

failOnLeaks()

const found = async (world: World) => lines(await world.read(FEATURES, 'StreamFeature'))

/** A broker whose group readers tell of their handler. */
function watched(broker: Broker, onHandler: (handler: GroupHandler) => GroupHandler): Broker {
  return { ...broker, groupReader: (options, handler) => broker.groupReader(options, onHandler(handler)) }
}

describe('rebalance', () => {
  test('tasks that stay keep their windows: nothing is read again by who stays, from one worker to three and back', async () => {
    const world = await newWorld()
    const input = sender(world)
    const send = () => {
      for (let i = 0; i < 30; i++) input.send(i % 3, 60, i % 5, i)
    }
    const a = await world.launch('a')
    send()
    await world.caughtUp()
    const b = await world.launch('b')
    const c = await world.launch('c')
    await until(() => [a, b, c].every((p) => p.worker.tasks().length > 0), { what: 'each has tasks' })
    send()
    await world.caughtUp()
    expect(a.worker.counters.replayed).toBe(0)
    expect(a.worker.counters.rebalances).toBeGreaterThan(1)
    expect(a.worker.counters.assignments).toBe(1)
    await c.worker.stop()
    c.kill()
    await world.broker.expire()
    send()
    await world.caughtUp()
    // What c held was restored by one of the others; what they held stayed.
    expect(a.worker.counters.assignments + b.worker.counters.assignments).toBeGreaterThan(2)
    expect(a.worker.counters.aborts + b.worker.counters.aborts).toBe(0)
    world.end()
    await world.flushed()
    expect(await found(world)).toEqual(offline(input.flows, 1000))
    expectWhole(await world.read('audit.offsets', 'OffsetLedger'), input.flows.length)
    await world.close()
  })

  test('a task whose partition was committed by someone else does not keep its state: everything is restored', async () => {
    const world = await newWorld()
    const input = sender(world)
    let deceived = 0
    const a = await world.launch('a', {}, (broker) =>
      watched(broker, (handler) => ({
        ...handler,
        async onKept(kept, lost) {
          if (deceived++ > 0) return handler.onKept?.(kept, lost)
          const partitions = kept.partitions.map((p) => ({ ...p, offset: p.offset + 1 }))
          return handler.onKept?.({ ...kept, partitions }, lost)
        },
      })),
    )
    for (let i = 0; i < 12; i++) input.send(i % 3, 60, i % 5, i)
    await world.caughtUp()
    await world.launch('b')
    await until(() => a.worker.counters.aborts > 0 && a.worker.tasks().length > 0, {
      what: 'it has joined again',
    })
    for (let i = 0; i < 12; i++) input.send(i % 3, 60, i % 5, i)
    world.end()
    await world.flushed()
    expect(a.warnings).toEqual([])
    expect(await found(world)).toEqual(offline(input.flows, 1000))
    expectWhole(await world.read('audit.offsets', 'OffsetLedger'), input.flows.length)
    await world.close()
  })

  test('nothing is committed between the beginning and the end of a rebalance, while batches go on', async () => {
    const world = await newWorld()
    const input = sender(world)
    const begun = Promise.withResolvers<void>()
    const over = Promise.withResolvers<void>()
    const a = await world.launch('a', {}, (broker) =>
      watched(broker, (handler) => ({
        ...handler,
        async onRebalance() {
          await handler.onRebalance?.()
          begun.resolve()
          await over.promise
        },
      })),
    )
    input.send(0, 60, 1, 1)
    await world.caughtUp()
    const b = world.launch('b')
    await begun.promise
    const { commits, recordsIn } = a.worker.counters
    for (let i = 0; i < 30; i++) input.send(i % 3, 600, i % 5, i)
    await until(() => a.worker.counters.recordsIn === recordsIn + 30, { what: 'batches go on' })
    expect(a.worker.counters.commits).toBe(commits)
    over.resolve()
    await b
    world.end()
    await world.flushed()
    expect(a.worker.counters.longestRebalanceMs).toBeGreaterThan(0)
    expect(await found(world)).toEqual(offline(input.flows, 1000))
    await world.close()
  })
})
