import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { zeroCounters } from '#core/dataplane'
import { createCounters } from '#core/runtime'
import { createSinkCounters } from '#core/warehouse'
import { createExposition, createHistogram } from '#infra/observability'
import { accuracySamples } from '../../jobs/metrics-accuracy.ts'
import { createLag } from '../../jobs/metrics-lag.ts'
import { createRouterCollect } from '../../jobs/metrics-router.ts'
import { bridgeSamples } from '../../jobs/metrics-bridge.ts'
import { scalerSamples } from '../../jobs/metrics-scaler.ts'
import { followerSamples, sinkSamples, workerSamples } from '../../jobs/metrics.ts'
import { createRouterMeter } from '../../jobs/router-meter.ts'
import { createMemoryBroker } from '../../pipelines/core/runtime/testing/memory-broker.ts'

const read = (path: string): string => readFileSync(new URL(`../../infra/${path}`, import.meta.url), 'utf8')
const DASHBOARD = read('grafana/forestall.json')
const ALERTS = read('prometheus/alerts.yaml')

const ROW = {
  subsystem: 'traffic',
  scope: 'default',
  entity: 'a',
  metric: 'm',
  model: 'x',
  model_version: '1',
  horizon_ms: 60_000,
  forecasts: 10,
  from_ms: 0,
  to_ms: 1,
  mase: 0.8,
  seasonal_naive_mase: 1,
  scaled_pinball: 1,
  msis: 1,
  coverage_95: 0.9,
}

const SCALE = {
  service: 's',
  instances: 3,
  instances_now: 2,
  min_instances: 1,
  max_instances: 9,
  capacity: 10,
  peak_ms: 1,
  load_q50: 20,
  load_q90: 25,
  load_q99: 30,
}

/** What every command that serves /metrics says, once it has done something of everything. */
async function exposed(): Promise<string> {
  const broker = createMemoryBroker()
  await broker.admin().ensureTopics([{ name: 'log', partitions: 1 }])
  const health = {
    state: 'running' as const,
    caughtUp: true,
    lag: 0,
    held: 1,
    waiting: 0,
    lastWarning: null,
    oldestIssuedMs: 1,
    newestIssuedMs: 2,
    epoch: 3,
    counters: zeroCounters(),
  }
  const counters = { ...createCounters(), roundsOut: { 'decisions.x': 1 }, skipped: { odd: 1 } }
  const worker = { counters, tasks: () => [{ id: 't', watermarkMs: 1 }], bytes: () => 1 }
  const labels = { subsystem: 's', part: 'features' }
  const fail = (error: Error): never => {
    throw error
  }
  const router = createRouterCollect({
    broker,
    service: 's',
    opened: {
      topic: 'log',
      router: { counters: { requests: 1, retries: 1, hedges: 1, hedgesWon: 1, brokenAnswers: 1 } },
      picker: {
        view: () => [{ name: 'a', inFlight: 1, slowness: 1, isEjected: false, isDown: false }],
      },
      writer: { pendingBytes: 1 },
      instances: () => [
        {
          name: 'a',
          number: 0,
          applied: {
            segments: () => [1],
            health: () => ({
              instance: 'a',
              partitions: [{ partition: 0, next: 0, segments: 1, blockedBy: '' }],
            }),
          },
        },
      ],
    },
    meter: createRouterMeter(),
    mover: () => ({ mover: { states: () => [] }, follower: { health: () => health } }),
    queryLog: () => ({ sent: 1, dropped: 1, keyless: 1 }),
    onWarning: fail,
  })
  const lag = createLag(broker, [{ group: 'g', prefix: '', topics: ['log'], labels }], fail)
  const sink = { ...createSinkCounters(), rows: { t: 1 } }
  const exposition = createExposition(async () => [
    ...workerSamples(worker, labels),
    ...sinkSamples(sink),
    ...accuracySamples([ROW]),
    ...(await lag()),
    ...followerSamples('f', 't', health),
    ...bridgeSamples({ records: 1, flows: 1, deadLetters: 1, commits: 1, aborts: 1 }),
    ...scalerSamples({
      bodies: () => [SCALE],
      health: () => health,
      calls: () => ({ answered: 1, refused: 1, streams: 1, lastCallMs: 1 }),
      commands: () => ({ succeeded: 1, failed: 1, running: 1, seconds: createHistogram().read() }),
    }),
    ...(await router()),
  ])
  const text = await exposition.text()
  await broker.close()
  return text
}

/** Names of the metrics in PromQL: words before a selector, a range, a parenthesis or an operator. */
const namesIn = (text: string): string[] => [
  ...new Set(text.match(/\b(?:forestall|process|nodejs)_[a-z0-9_]*[a-z0-9]\b/g) ?? []),
]

/** Names of series and of labels in an exposition. */
function saidIn(text: string): { series: Set<string>; labels: Set<string> } {
  const series = new Set<string>()
  const labels = new Set<string>()
  for (const line of text.split('\n')) {
    const [, name = '', inside = ''] = /^([a-z][a-z0-9_]*)(?:\{(.*)\})? \S+$/.exec(line) ?? []
    if (name === '') continue
    series.add(name)
    for (const [, label = ''] of inside.matchAll(/(\w+)="/g)) labels.add(label)
  }
  return { series, labels }
}

test('the dashboard and the alerts name only metrics and labels that there are', async () => {
  const { series, labels } = saidIn(await exposed())
  const expressions = [
    ...(JSON.parse(DASHBOARD) as { panels: { targets?: { expr: string }[] }[] }).panels.flatMap(
      ({ targets = [] }) => targets.map(({ expr }) => expr),
    ),
    ...(ALERTS.match(/expr:[\s\S]*?(?=\n {8}(?:for|labels):)/g) ?? []),
  ]
  expect(expressions.length).toBeGreaterThan(60)
  const names = namesIn(expressions.join('\n'))
  expect(names.length).toBeGreaterThan(40)
  expect(names.filter((name) => !series.has(name))).toEqual([])
  const variables = namesIn(DASHBOARD.match(/label_values\([^)]*\)/g)?.join(' ') ?? '')
  expect(variables.filter((name) => !series.has(name))).toEqual([])

  const grouped = [...`${DASHBOARD}${ALERTS}`.matchAll(/\b(?:by|on) \(([^)]*)\)/g)]
  const shown = [...`${DASHBOARD}${ALERTS}`.matchAll(/\{\{ ?(?:\$labels\.)?(\w+) ?\}\}/g)]
  const used = [...grouped, ...shown].flatMap(([, list = '']) => list.split(', '))
  expect(used.length).toBeGreaterThan(60)
  // Prometheus itself adds instance.
  expect([...new Set(used)].filter((label) => !labels.has(label) && label !== 'instance')).toEqual([])
})

test('every metric of ours has one kind, and a sentence', async () => {
  const text = await exposed()
  const helps = [...text.matchAll(/^# HELP (forestall_\w+) (.*)$/gm)]
  expect(helps.length).toBeGreaterThan(50)
  expect(new Set(helps.map(([, name]) => name)).size).toBe(helps.length)
  expect(helps.filter(([, , help = '']) => !/^[A-Z0-9].*\.$/.test(help))).toEqual([])
})
