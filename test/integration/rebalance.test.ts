import { expect, test } from 'vitest'
import { createCodec } from '#core/codec'
import { END_OF_INPUT_MS, type Worker } from '#core/runtime'
import type { Flow } from '#schemas'
import { createMemoryRegistry } from '../../pipelines/core/runtime/testing/memory-registry.ts'
import { flow, flowWindows, lines, offline } from '../core/runtime/fixtures.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { topologyOnKafka } from '../support/topology-on-kafka.ts'
import { until } from '../support/until.ts'

failOnLeaks()

const PARTITIONS = 6
const WINDOW_MS = 1000
const kafka = topologyOnKafka({
  topology: flowWindows({ sizeMs: WINDOW_MS, graceMs: 500, merge: PARTITIONS }),
  codec: createCodec(createMemoryRegistry()),
  records: { 'features.streams': 'StreamFeature' },
  partitions: PARTITIONS,
})

test('from two workers to three and back, with a rolling restart: who stays keeps its state, nothing is lost or doubled', async () => {
  const flows: Flow[] = []
  const beganMs = Date.now()
  const launch = (slot: string): Promise<Worker> => kafka.launch({ slot, sessionTimeoutMs: 6000 })
  const send = (count: number): Promise<void> => {
    const more = Array.from({ length: count }, (_, i) => {
      const at = flows.length + i
      return flow(beganMs + at * 2, `s${at % 9}`, at % 100, at % 7)
    })
    flows.push(...more)
    return kafka.send(more)
  }
  const holders = (...workers: Worker[]) =>
    new Map(workers.flatMap((w, i) => w.tasks().map((task) => [task.id, i] as const)))
  const settled = async (...workers: Worker[]) => {
    await until(
      () => holders(...workers).size === 2 * PARTITIONS && workers.every((w) => w.tasks().length > 0),
      {
        what: 'every task has a worker',
      },
    )
    return holders(...workers)
  }
  const caughtUp = () =>
    until(async () => (await kafka.committed()) >= flows.length, { what: 'all input is committed' })

  const [a, b] = [await launch('a'), await launch('b')]
  const two = await settled(a, b)
  await send(600)
  await caughtUp()
  const replayed = () => a.counters.replayed + b.counters.replayed
  const before = replayed() // while the second came, tasks moved from the first
  let c = await launch('c')
  await send(300)
  const three = await settled(a, b, c)
  await send(300)
  await caughtUp()
  // Who stays gave away a third, and read nothing again.
  expect(replayed()).toBe(before)
  const stayed = [...two].filter(([task, worker]) => three.get(task) === worker)
  expect(stayed).toHaveLength(2 * (PARTITIONS - 2))
  const { assignments } = a.counters

  // A restart within the session moves nothing and disturbs nobody.
  const { rebalances } = a.counters
  await c.stop()
  c = await launch('c')
  await send(300)
  expect(await settled(a, b, c)).toEqual(three)
  await caughtUp()
  expect(a.counters.rebalances).toBe(rebalances)
  expect(replayed()).toBe(before)

  // It goes for good: the others take over what it held, and keep what they have.
  await c.stop()
  await send(300)
  await settled(a, b)
  await caughtUp()
  expect(a.counters.assignments).toBe(assignments + 1)
  expect(a.counters.aborts + b.counters.aborts).toBe(0)
  await kafka.end()
  await until(() => [...a.tasks(), ...b.tasks()].every((task) => task.watermarkMs >= END_OF_INPUT_MS), {
    what: 'the end of the input',
  })
  const pauseMs = Math.max(a.counters.longestRebalanceMs, b.counters.longestRebalanceMs)
  process.stdout.write(`commits waited ${pauseMs.toFixed(0)} ms at most for a rebalance\n`)
  await a.stop()
  await b.stop()
  const rows = await kafka.read('features.streams', 'StreamFeature')
  expect(lines(rows)).toEqual(offline(flows, WINDOW_MS))
  expect(kafka.troubles).toEqual([])
  // A heartbeat (200 ms) and the requests of a rebalance; several times that where tests share the machine.
  expect(pauseMs).toBeLessThan(3000)
}, 120_000)
