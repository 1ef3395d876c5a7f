import { expect, test } from 'vitest'
import { createCounters } from '#core/runtime'
import { createLag } from '../../jobs/metrics-lag.ts'
import { workerSamples } from '../../jobs/metrics.ts'
import { createMemoryBroker } from '../../pipelines/core/runtime/testing/memory-broker.ts'

const LABELS = { subsystem: 'sub', part: 'features' }

test('a worker says what moved, what was issued, and how far its tasks are', () => {
  const counters = { ...createCounters(), recordsIn: 7, late: 2, deadLetters: 1, windows: 5, commits: 4 }
  counters.commitMs = 250
  counters.roundsOut = { 'decisions.x': 3 }
  counters.skipped = { self_pair: 6 }
  const tasks = () => [{ id: 'sub/streams/0', watermarkMs: 60_000 }]
  const samples = workerSamples({ counters, tasks, bytes: () => 1234 }, LABELS)
  const valueOf = (name: string, more: Record<string, string> = {}) =>
    samples.find((s) => s.name === name && Object.entries(more).every(([k, v]) => s.labels[k] === v))?.value
  expect(valueOf('forestall_records_in_total')).toBe(7)
  expect(valueOf('forestall_records_late_total')).toBe(2)
  expect(valueOf('forestall_dead_letters_total')).toBe(1)
  expect(valueOf('forestall_windows_closed_total')).toBe(5)
  expect(valueOf('forestall_commit_seconds_total')).toBe(0.25)
  expect(valueOf('forestall_issued_total', { topic: 'decisions.x' })).toBe(3)
  expect(valueOf('forestall_records_skipped_total', { reason: 'self_pair' })).toBe(6)
  expect(valueOf('forestall_state_bytes')).toBe(1234)
  expect(valueOf('forestall_watermark_timestamp_seconds', { task: 'sub/streams/0' })).toBe(60)
  // A name stands for one help sentence and one kind, and says its unit.
  for (const { name, help, kind, labels } of samples) {
    expect(name).toMatch(kind === 'counter' ? /^forestall_[a-z_]+_total$/ : /^forestall_[a-z_]+$/)
    expect(help).toMatch(/^[A-Z].*\.$/)
    expect(labels).toMatchObject(LABELS)
  }
})

test('lag is what a group has not committed, asked for no more often than every few seconds', async () => {
  const broker = createMemoryBroker()
  const admin = broker.admin()
  await admin.ensureTopics([{ name: 'demo.in', partitions: 2 }])
  const producer = broker.producer()
  for (let n = 0; n < 5; n++) producer.add('demo.in', n % 2, n, null, Buffer.from('x'))
  await producer.flush()
  let nowMs = 0
  const warnings: Error[] = []
  const lag = createLag(
    broker,
    [{ group: 'g', prefix: 'demo.', topics: ['in'], labels: LABELS }],
    (error) => void warnings.push(error),
    () => nowMs,
  )
  expect(await lag()).toMatchObject([{ labels: { ...LABELS, topic: 'in' }, value: 5 }])
  producer.add('demo.in', 0, 9, null, Buffer.from('x'))
  await producer.flush()
  nowMs = 4000
  expect((await lag())[0]!.value).toBe(5)
  nowMs = 5000
  expect((await lag())[0]!.value).toBe(6)
  await producer.close()
  await broker.close()
  expect(warnings).toEqual([])
})
