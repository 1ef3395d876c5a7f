import { describe, expect, test } from 'vitest'
import { readMark } from '../../../pipelines/core/runtime/index.ts'
import { failOnLeaks } from '../../support/leaks.ts'
import { until } from '../../support/until.ts'
import { newWorld, type Process, sender, type World } from './worker-world.ts'

failOnLeaks()

describe('silence', () => {
  /** Idle marks in the internal topic. */
  async function idleMarks(world: World): Promise<number> {
    let idle = 0
    const reader = world.broker.readPartitions({
      partitions: [0, 1].map((partition) => ({ topic: 'internal.partials', partition, from: 'earliest' })),
      until: 'stable',
      onBatch(cursor) {
        while (cursor.next()) if (cursor.valueLength < 0 && readMark(cursor)?.idle === true) idle++
      },
    })
    await reader.done
    await reader.close()
    return idle
  }
  const tick = () => new Promise((resolve) => setTimeout(resolve, 10))
  /** Waits until a worker has nothing left to commit. */
  async function quiet({ worker }: Process): Promise<void> {
    let before = -1
    await until(
      async () => {
        const same = worker.counters.commits > 0 && worker.counters.commits === before
        before = worker.counters.commits
        return same
      },
      { everyMs: 30 },
    )
  }

  test('of a source is told after idleMs, and a member that was evicted has no say in it', async () => {
    const world = await newWorld()
    const input = sender(world)
    const zombie = await world.launch('a')
    input.send(0, 1, 1, 1)
    await quiet(zombie)
    zombie.client.kill()
    await world.broker.expire()
    const heir = await world.launch('b')
    // The heir hears something all the time; the zombie hears nothing for longer than idleMs.
    for (let i = 0; i < 12; i++) {
      world.clock.advance(500)
      for (const p of [0, 1, 2]) input.send(p, 1, 1, 1)
      await until(() => heir.worker.tasks().length > 0)
      await world.caughtUp()
      await tick()
    }
    expect(zombie.worker.counters.aborts).toBe(1) // it tried to
    expect(await idleMarks(world)).toBe(0)
    zombie.kill()
    await zombie.worker.stop()
    await world.close()
  })

  test('of a process that stood still means nothing', async () => {
    const world = await newWorld()
    const input = sender(world)
    await world.launch('a')
    input.send(0, 1, 1, 1)
    await world.caughtUp()
    await tick()
    world.clock.advance(60_000)
    await tick()
    expect(await idleMarks(world)).toBe(0)
    for (let i = 0; i < 12; i++) {
      world.clock.advance(500)
      await tick()
    }
    expect(await idleMarks(world)).toBe(6)
    await world.close()
  })
})
