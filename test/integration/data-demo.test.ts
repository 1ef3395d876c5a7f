import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, inject, onTestFinished, test } from 'vitest'
import { systemClock } from '#core/ports'
import { END_OF_INPUT_MS } from '#core/runtime'
import { openDataDemo } from '../../jobs/demo/data-demo.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

test('queries of a moving hot set are logged, forecast and placed; no row is lost, twice or missed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'data-demo-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const replayId = uniqueName('data-demo')
  const fatal: Error[] = []
  const demo = await openDataDemo({
    connections: {
      kafka: { bootstrapBrokers: inject('kafkaBrokers').split(',') },
      clickhouse: { url: inject('clickhouseUrl') },
      registry: { url: inject('registryUrl') },
    },
    prefix: `${replayId}.`,
    replayId,
    folder,
    windowMs: 1000,
    // So that five instances are too few however slowly this machine asks.
    capacity: 3,
    seed: 1,
    clock: systemClock,
    onWarning: () => undefined,
    onFatal: (error) => fatal.push(error),
  })
  onTestFinished(() => demo.stop())
  demo.begin()
  await until(() => demo.status().applied >= 64 && demo.status().moved > 0 && demo.status().checks > 0, {
    timeoutMs: 90_000,
    what: 'a placement in force, a move and a checked write',
  })
  // More work than five instances do: a decision starts another one, segments move to it, and it answers their reads.
  await until(
    () => demo.status().instances.some((it) => it.name === 'i5' && it.segments > 0 && it.queries > 0),
    { timeoutMs: 120_000, what: 'reads answered by an instance that was started for a decision' },
  )
  expect(demo.status().instancesStarted).toBe(1)
  await demo.drain(async (workers) => {
    await until(
      () =>
        [...workers].every(([, worker]) => {
          const tasks = worker.tasks()
          return tasks.length > 0 && tasks.every((task) => task.watermarkMs >= END_OF_INPUT_MS)
        }),
      { timeoutMs: 60_000, what: 'the end of the input' },
    )
  })
  const summary = demo.summary()
  expect(fatal).toEqual([])
  expect(summary).toMatchObject({
    errors: 0,
    rowsLost: 0,
    rowsDuplicated: 0,
    readYourWrites: { violations: 0 },
    sound: true,
  })
  expect(summary.logged.dropped).toBe(0)
  const samples = await demo.metrics()
  const sumOf = (name: string, more: Record<string, string> = {}): number =>
    samples
      .filter((s) => s.name === name && Object.entries(more).every(([label, v]) => s.labels[label] === v))
      .reduce((sum, { value }) => sum + value, 0)
  expect(sumOf('forestall_router_answers_total')).toBeGreaterThanOrEqual(summary.queries)
  expect(sumOf('forestall_router_writes_total', { outcome: 'acknowledged' })).toBeGreaterThan(0)
  expect(sumOf('forestall_router_move_phases_total', { phase: 'switched' })).toBeGreaterThan(0)
  expect(sumOf('forestall_router_instance_segments')).toBeGreaterThan(0)
  expect(sumOf('forestall_decisions_epoch', { topic: 'decisions.data.shards' })).toBeGreaterThan(0)
  expect(summary.logged.sent).toBeGreaterThanOrEqual(summary.queries)
  expect(summary.instancesWanted).toBeGreaterThanOrEqual(2)
  await demo.stop()
}, 360_000)
