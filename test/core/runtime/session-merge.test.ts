import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createCodec } from '../../../pipelines/core/codec/index.ts'
import { manualClock } from '../../../pipelines/core/ports/index.ts'
import {
  createCounters,
  createRecordReaders,
  END_OF_INPUT_MS,
  markHeaders,
  type Row,
  type TaskContext,
} from '../../../pipelines/core/runtime/index.ts'
import { SessionMergeTask } from '../../../pipelines/core/runtime/session-merge-task.ts'
import { slicePlan, sliceShape } from '../../../pipelines/core/runtime/session-shape.ts'
import { LogCursor, type LogRecord } from '../../../pipelines/core/runtime/testing/log-cursor.ts'
import { createMemoryRegistry } from '../../../pipelines/core/runtime/testing/memory-registry.ts'
import type { SessionWindowSpec } from '../../../pipelines/core/runtime/topology.ts'
import { partialEmitter } from '../../../pipelines/core/runtime/partial-blocks.ts'
import { WindowStore } from '../../../pipelines/core/runtime/window-store.ts'
import { FIELDS } from './fixtures.ts'
import { flowSessions, sessionLines, type Shape } from './sessions-case.ts'

const NOW = 1_200_000
const ORIGINS = 3
const OUTPUT = 'features.streams'
const MERGE = 'internal.slices'
const SLICE_MS = 25
const SHAPE: Shape = { gapMs: 100, graceMs: 0, maxLengthMs: 300 }
const topology = flowSessions(SHAPE, 1)
const spec = topology.windows['streams'] as SessionWindowSpec

/** Everything a task writes, in order. */
async function world() {
  const codec = createCodec(createMemoryRegistry())
  const letters = { topic: 'dlq.telemetry.flows', record: 'DeadLetter' } as const
  await codec.prepare([{ topic: OUTPUT, record: 'StreamFeature' }, letters])
  const written: { topic: string; record: LogRecord }[] = []
  const context: TaskContext = {
    out: {
      emit(topic, _partition, timestampMs, key, value, headers = []) {
        const copy = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes))
        written.push({ topic, record: { timestampMs, key: copy(key), value: copy(value), headers } })
      },
    },
    encoder: codec,
    readers: createRecordReaders(codec),
    clock: manualClock(NOW),
    counters: createCounters(),
    partitionsOf: () => ORIGINS,
    topicName: (topic) => topic,
    merged: () => undefined,
    warn: (error) => {
      throw error
    },
  }
  return { codec, context, written }
}

/** What source partitions tell: slices in the order of time, how far they are, that they are idle or speak again. */
const told = fc.record({
  origin: fc.nat(ORIGINS - 1),
  /** Slices since what this origin told last. */
  slices: fc.oneof({ weight: 5, arbitrary: fc.integer({ min: 1, max: 3 }) }, fc.integer({ min: 4, max: 9 })),
  keys: fc.subarray(['a', 'b']),
  idle: fc.nat(2).map((n) => n === 0),
})

/** The merge topic as source partitions fill it. An origin that was idle brings slices that are long settled. */
async function logOf(events: readonly (typeof told extends fc.Arbitrary<infer T> ? T : never)[]) {
  const { context, written } = await world()
  const plan = slicePlan(spec.aggregates, 0)
  const at = Array.from({ length: ORIGINS }, () => NOW)
  for (const [i, { origin, slices, keys, idle }] of events.entries()) {
    const emitter = partialEmitter(topology, 'streams', origin, context)
    const startMs = (at[origin] as number) + (slices - 1) * SLICE_MS
    at[origin] = startMs + SLICE_MS
    const store = new WindowStore(sliceShape(spec), plan)
    for (const key of keys) {
      const row: Row = {
        buffer: Buffer.from(key),
        numbers: Float64Array.from(FIELDS, (field) => (field === 'bytes' ? 1 + i : startMs + (i % SLICE_MS))),
        starts: new Int32Array(FIELDS.length),
        ends: new Int32Array(FIELDS.length).fill(key.length),
      }
      store.add(startMs, row, 1, i, Number.NEGATIVE_INFINITY)
    }
    await store.close(Number.NEGATIVE_INFINITY, END_OF_INPUT_MS, (pane, start, end) =>
      emitter.emit(pane, start, end),
    )
    emitter.mark(startMs + SLICE_MS, idle)
  }
  for (let origin = 0; origin < ORIGINS; origin++) {
    const headers = markHeaders({
      origin: `test.sessions/streams:partial/${origin}`,
      watermarkMs: END_OF_INPUT_MS,
      idle: false,
    })
    written.push({ topic: MERGE, record: { timestampMs: NOW, key: null, value: null, headers } })
  }
  return written.map(({ record }) => record)
}

interface Life {
  /** Records that are taken in after the last commit, and then lost. */
  readonly lost: number
  /** Records between the restart and the next commit. */
  readonly kept: number
}

/** What the merge task makes of a log over several lives: rows and dead letters that were committed. */
async function mergeOver(log: readonly LogRecord[], lives: readonly Life[]) {
  const { codec, context, written } = await world()
  let committed = { offset: -1, metadata: '' }
  let furthest = 0
  let replayed = 0
  for (const { lost, kept } of [...lives, { lost: 0, kept: log.length }]) {
    for (const [records, commits] of [
      [lost, false],
      [kept, true],
    ] as const) {
      const task = new SessionMergeTask(topology, 'streams', 0, context)
      const key = `${MERGE}:0`
      const start = { committed: { topic: MERGE, partition: 0, ...committed }, earliest: 0 }
      const from = (await task.restore(new Map([[key, start]]))).get(key) as number
      const done = Math.max(0, committed.offset)
      const to = Math.min(log.length, done + records)
      const before = written.length
      for (let at = from; at < to; at += 2)
        await task.process(new LogCursor(MERGE, 0, log, at, Math.min(to, at + 2)))
      if (commits) {
        furthest = Math.max(furthest, to)
        for (const { offset, metadata } of task.prepareCommit())
          committed = { offset, metadata: metadata ?? '' }
        replayed += done - from
      } else written.length = before
    }
  }
  expect(furthest).toBe(log.length)
  const rows = written.flatMap(({ topic, record: { value } }) =>
    topic === OUTPUT && value !== null ? [codec.decode(value, 0, value.length, 'StreamFeature')] : [],
  )
  const letters = written
    .filter(({ topic }) => topic.startsWith('dlq.'))
    .map(({ record }) => String(record.key))
  // What a mark says has been written is not written afterwards: rounds wait for marks alone.
  let markedMs = Number.NEGATIVE_INFINITY
  const overdue = written.filter(({ topic, record: { value, headers } }) => {
    if (topic !== OUTPUT) return false
    if (value !== null)
      return codec.decode(value, 0, value.length, 'StreamFeature').window_start_ms <= markedMs
    const before = markedMs
    markedMs = Number(String(headers[0]?.[1]).split(' ')[1])
    return markedMs < before
  })
  expect(overdue).toEqual([])
  return { lines: sessionLines(rows), letters, replayed }
}

test('slices that came too late, of a source that had been idle, are too late again in every replay', async () => {
  const lives = fc.array(fc.record({ lost: fc.nat(12), kept: fc.nat(12) }), { maxLength: 8 })
  let late = 0
  let replayed = 0
  await fc.assert(
    fc.asyncProperty(fc.array(told, { minLength: 10, maxLength: 70 }), lives, async (events, over) => {
      const log = await logOf(events)
      const straight = await mergeOver(log, [])
      const crashed = await mergeOver(log, over)
      expect(crashed.lines).toEqual(straight.lines)
      expect(crashed.letters).toEqual(straight.letters)
      late += straight.letters.length
      replayed += crashed.replayed
    }),
    { numRuns: 100 },
  )
  // The case does occur.
  expect(late).toBeGreaterThan(10)
  expect(replayed).toBeGreaterThan(100)
})
