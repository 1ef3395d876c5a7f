import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Broker, TransactionalProducer } from '../../../pipelines/core/ports/index.ts'
import { failOnLeaks } from '../../support/leaks.ts'
import { caseFlows, caseTopology, shuffledWithinGrace, windowLines } from './executions-case.ts'
import { createWorld, expectWhole, FEATURES, FLOWS, type World } from './worker-world.ts'

failOnLeaks()

const GOLDEN = readFileSync(new URL('../../golden/executions/windows.txt', import.meta.url), 'utf8')
const SOURCE_PARTITIONS = 3
const MERGE_PARTITIONS = 3
/** A timer that does not tick: such a process commits when windows close, and is dead once it is killed. */
const UNTIMED = { commitIntervalMs: 3_600_000 }

/** The case on the broker in memory. */
const newWorld = (partitions = SOURCE_PARTITIONS): Promise<World> =>
  createWorld(caseTopology({ merge: MERGE_PARTITIONS }), {
    [FLOWS]: partitions,
    [FEATURES]: MERGE_PARTITIONS,
  })

/** Sends the flows between two shares of the case, partition by partition in turn. */
function send(
  world: World,
  from: number,
  to: number,
  flows = caseFlows(),
  partitions = SOURCE_PARTITIONS,
): void {
  const slice = flows.slice(Math.round(from * flows.length), Math.round(to * flows.length))
  const start = Math.round(from * flows.length)
  for (const [i, f] of slice.entries()) world.send((start + i) % partitions, f)
}

/** Ends the input, waits for the last window, checks the ledger and gives the windows. */
async function outcome(world: World): Promise<string> {
  world.end()
  await world.flushed()
  const windows = windowLines(await world.read(FEATURES, 'StreamFeature'))
  expectWhole(await world.read('audit.offsets', 'OffsetLedger'), caseFlows().length)
  await world.close()
  return windows
}

/** A broker whose producer does something else at each commit that is not empty, counted from 1. */
const atCommit =
  (act: (producer: TransactionalProducer, count: number) => Promise<void>) =>
  (broker: Broker): Broker => ({
    ...broker,
    transactionalProducer(options) {
      const producer = broker.transactionalProducer(options)
      let count = 0
      return Object.assign(Object.create(producer) as TransactionalProducer, {
        commit: () => (producer.dirty ? act(producer, ++count) : producer.commit()),
      })
    },
  })

describe('one case, many executions: workers on the broker in memory', () => {
  test.each([1, 2, 3])('%i workers', async (workers) => {
    const world = await newWorld()
    for (let w = 0; w < workers; w++) await world.launch(`w${w}`)
    for (let part = 0; part < 10; part++) {
      send(world, part / 10, (part + 1) / 10)
      await world.caughtUp()
    }
    expect(await outcome(world)).toBe(GOLDEN)
  })

  test('rescaled in mid-run: one worker, three, two, one, each change with windows open', async () => {
    const world = await newWorld()
    const first = await world.launch('a')
    send(world, 0, 0.3)
    await world.caughtUp()
    const second = await world.launch('b')
    await world.launch('c')
    send(world, 0.3, 0.6)
    await world.caughtUp()
    await first.worker.stop()
    first.kill()
    await world.broker.expire()
    send(world, 0.6, 0.8)
    await world.caughtUp()
    await second.worker.stop()
    second.kill()
    await world.broker.expire()
    send(world, 0.8, 1)
    expect(await outcome(world)).toBe(GOLDEN)
  })

  test('shuffled within grace, while a second worker comes and goes', async () => {
    const world = await newWorld()
    const flows = shuffledWithinGrace(caseFlows())
    await world.launch('a')
    for (let part = 0; part < 6; part++) {
      const other = await world.launch('b')
      send(world, part / 6, (part + 1) / 6, flows)
      await world.caughtUp()
      await other.worker.stop()
      other.kill()
      await world.broker.expire()
    }
    expect(await outcome(world)).toBe(GOLDEN)
  })

  test.each([
    ['before it', false],
    ['after it', true],
  ])('killed and resumed, life after life, at its first or second commit: %s', async (_when, commits) => {
    const world = await newWorld()
    const lives = 10
    for (let life = 0; life < lives; life++) {
      const killed = Promise.withResolvers<void>()
      const doomed = await world.launch(
        'a',
        UNTIMED,
        atCommit(async (producer, count) => {
          if (count <= life % 2) return producer.commit()
          if (commits) await producer.commit()
          killed.resolve()
          doomed.kill()
          return new Promise(() => undefined)
        }),
      )
      // Two windows' worth: it has something to commit.
      send(world, life / lives, (life + 1) / lives)
      await killed.promise
    }
    await world.launch('a')
    expect(await outcome(world)).toBe(GOLDEN)
  })

  test.each([
    ['did not take effect', false],
    ['took effect, but its answer never came', true],
  ])('redelivered: every second commit fails; it %s', async (_what, tookEffect) => {
    const world = await newWorld()
    let failed = 0
    await world.launch(
      'a',
      {},
      atCommit(async (producer, count) => {
        if (count % 2 === 0 || failed >= 4) return producer.commit()
        failed++
        if (tookEffect) await producer.commit()
        throw new Error('no answer')
      }),
    )
    for (let part = 0; part < 12; part++) {
      send(world, part / 12, (part + 1) / 12)
      await world.caughtUp()
    }
    expect(failed).toBe(4)
    expect(await outcome(world)).toBe(GOLDEN)
  })

  test('a silent partition', async () => {
    const world = await newWorld(SOURCE_PARTITIONS + 1)
    await world.launch('a')
    await world.launch('b')
    for (let part = 0; part < 10; part++) {
      send(world, part / 10, (part + 1) / 10)
      await world.caughtUp()
    }
    expect(await outcome(world)).toBe(GOLDEN)
  })
})
