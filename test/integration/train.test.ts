import { beforeAll, expect, test } from 'vitest'
import type { Model } from '#schemas'
import { decodeNet, globalNet } from '#core/forecasting'
import { runCli, startCli } from '../jobs/run-cli.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { replayScope } from '../support/replay-scope.ts'
import { stackEnv } from '../support/stack-env.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()

const REPLAY = uniqueName('train').replaceAll('_', '-')
const STREAMS = 80
/** Each test starts the command several times; a busy machine takes its time. */
const PATIENCE_MS = 240_000
const WINDOWS = 260
const env = stackEnv()
const TRAIN = ['train', '--replay-id', REPLAY, '--seasons', '24s', '--workers', '1']

const { prefix, broker, codec, warehouse } = replayScope(REPLAY, [
  ['models', 'Model'],
  ['events.calendar', 'CalendarEvent'],
  ['alerts.forecasts', 'ForecastAlert'],
])

/** A wave of 24 windows of a second per stream, and a forecast of each. */
async function fill(): Promise<void> {
  const start = 'toDateTime64(1700000000, 3)'
  await warehouse.command(`INSERT INTO features_streams
    (stream, window_start_ms, window_end_ms, bytes, packets, bytes_per_second, incomplete, kafka_partition, kafka_offset)
    SELECT concat('s', toString(s)), ${start} + w, ${start} + w + 1, 1, 1,
      (s + 1) * (100 + 50 * sin(w * 2 * pi() / 24) + rand32(s * 1000 + w) / 4294967296 * 10), false, 0, s * ${WINDOWS} + w
    FROM (SELECT arrayJoin(range(${STREAMS})) AS s, arrayJoin(range(${WINDOWS})) AS w)`)
  await warehouse.command(`INSERT INTO forecasts_traffic
    (scope, entity, metric, issued_at_ms, target_ms, horizon_ms, model, model_version)
    SELECT 'default', concat('s', toString(number)), 'bytes_per_second', ${start} + 1, ${start} + 7, 6000, 'naive', 'naive/1'
    FROM numbers(${STREAMS})`)
}

/** All records of the models topic, in order. */
async function models(): Promise<{ key: string; model: Model }[]> {
  const found: { key: string; value: Buffer }[] = []
  const reader = broker.readPartitions({
    partitions: [{ topic: `${prefix}models`, partition: 0, from: 'earliest' }],
    until: 'stable',
    onBatch: (cursor) => {
      while (cursor.next()) {
        const { buffer, keyStart, keyLength, valueStart, valueLength } = cursor
        found.push({
          key: buffer.toString('utf8', keyStart, keyStart + keyLength),
          value: Buffer.from(buffer.subarray(valueStart, valueStart + valueLength)),
        })
      }
    },
  })
  await reader.done
  await reader.close()
  return Promise.all(
    found.map(async ({ key, value }) => ({
      key,
      model: await codec.decodeAsync(value, 0, value.length, 'Model'),
    })),
  )
}

beforeAll(fill)

test('a training that is killed loses no champion: the next run goes on where it was', {
  timeout: PATIENCE_MS,
}, async () => {
  const training = startCli(TRAIN, env)
  await until(async () => (await models()).length > 0, { what: 'the first champions', timeoutMs: 120_000 })
  await training.end('SIGKILL')
  const before = await models()
  const kept = new Map(before.map(({ key, model }) => [key, model]))
  expect(kept.size).toBeGreaterThan(0)
  expect(kept.size).toBeLessThan(STREAMS)

  const run = await runCli([...TRAIN, '--json'], env)
  expect(run).toMatchObject({ code: 0 })
  const summary = JSON.parse(run.stdout.trim().split('\n').at(-1)!) as Record<string, number>
  expect(summary).toMatchObject({ total: STREAMS, fresh: kept.size, done: STREAMS - kept.size, failed: 0 })

  const after = new Map((await models()).map(({ key, model }) => [key, model]))
  expect(after.size).toBe(STREAMS)
  for (const [key, model] of kept) expect(after.get(key)).toEqual(model)
  for (const [key, model] of after) {
    expect(key).toBe(`default|${model.entity}|bytes_per_second`)
    expect(model).toMatchObject({
      kind: 'series',
      step_ms: 1000,
      horizon: 6,
      points: WINDOWS,
      similar_to: '',
    })
    expect(model.evidence.mase).toBeLessThan(1.5)
    const { candidates, mase, margin } = model.evidence
    expect(candidates.map((c) => c.model)).toContain(model.model)
    // Nothing that was compared is better by the margin.
    expect(candidates[0]!.mase!).toBeGreaterThan((1 - margin) * mase! - 1e-9)
  }
})

test('a champion that stands is contested again and keeps its place unless something is better by the margin', {
  timeout: PATIENCE_MS,
}, async () => {
  const first = new Map((await models()).map(({ key, model }) => [key, model]))
  const run = await runCli([...TRAIN, '--all', '--json'], env)
  expect(run).toMatchObject({ code: 0 })
  expect(JSON.parse(run.stdout.trim().split('\n').at(-1)!)).toMatchObject({ done: STREAMS, changed: 0 })
  for (const { key, model } of (await models()).slice(-STREAMS)) {
    expect(model.version).toBeGreaterThan(first.get(key)!.version)
    expect(model.evidence.previous).toBe(first.get(key)!.model)
    expect(model.evidence.previous_mase).toBeCloseTo(model.evidence.mase!, 6)
  }
})

test('a network that many series share is trained, kept as plain weights, and takes part in the contest', {
  timeout: PATIENCE_MS,
}, async () => {
  const run = await runCli([...TRAIN, '--all', '--nets', 'mlp', '--net-passes', '2', '--json'], env)
  expect(run).toMatchObject({ code: 0 })
  expect(run.stderr).toMatch(/network mlp\.bytespersecond\.1000\.6: \d+ examples of 80 series/)
  const written = await models()
  const network = written.find(({ model }) => model.kind === 'network')!
  expect(network.key).toBe('default|*|net-mlp.bytespersecond.1000.6')
  const net = globalNet(decodeNet(network.model.state))
  expect(net.layout).toMatchObject({ window: 48, horizon: 6, seasons: [24] })
  const last = written.slice(-STREAMS).map(({ model }) => model)
  for (const { evidence } of last)
    expect(evidence.candidates.map((c) => c.model)).toContain('net-mlp.bytespersecond.1000.6')
  expect(new Set(last.map((model) => model.entity)).size).toBe(STREAMS)
})

test('with a schedule it stays, looks at what is due, and ends in order', {
  timeout: PATIENCE_MS,
}, async () => {
  const before = (await models()).length
  const training = startCli([...TRAIN, '--schedule', '* * * * * *', '--every', '1s'], env)
  await until(async () => (await models()).length > before, { what: 'a scheduled run', timeoutMs: 120_000 })
  expect((await training.end('SIGTERM'))[0]).toBe(0)
})

test('a schedule that is none is refused with its cure', { timeout: PATIENCE_MS }, async () => {
  const run = await runCli([...TRAIN, '--schedule', 'every day'], env)
  expect(run).toMatchObject({ code: 2 })
  expect(run.stderr).toMatch(/CONFIG_INVALID: --schedule/)
})
