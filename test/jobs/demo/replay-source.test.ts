import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { manualClock, manualTimers, systemClock } from '#core/ports'
import { audit } from '../../../jobs/demo/accounting.ts'
import { replayFolder, type ReplayOptions } from '../../../jobs/demo/replay-source.ts'
import { countingTopology, decodeAs, eachRecord, memoryWorld, process } from './pipeline.ts'

const START = Date.UTC(2004, 2, 1)
const STEP = 300_000
const ROUTERS = ['ATLAM5', 'ATLAng', 'CHINng', 'DNVRng', 'HSTNng', 'IPLSng', 'KSCYng', 'LOSAng', 'NYCMng']
const INTERVALS = 5
const ROWS = INTERVALS * ROUTERS.length ** 2
let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'replay-'))
  const rows = Array.from({ length: INTERVALS }, (_, i) =>
    ROUTERS.flatMap((from) =>
      ROUTERS.map((to) => `${new Date(START + i * STEP).toISOString()},${from},${to},${1000 + i}`),
    ),
  ).flat()
  await writeFile(join(folder, 'od_traffic.csv.gz'), gzipSync(`ts,src,dst,bytes_5min\n${rows.join('\n')}\n`))
})
afterAll(() => rm(folder, { recursive: true }))

async function replay(over: Partial<ReplayOptions> = {}) {
  const { broker, codec } = await memoryWorld('replay-1.')
  const options: ReplayOptions = {
    broker,
    codec,
    clock: systemClock,
    folder,
    speed: 'max',
    topicPrefix: 'replay-1.',
    replayId: 'replay-1',
    ...over,
  }
  return { broker, codec, options, totals: replayFolder(options) }
}

test('every row is written, each router in one partition, in order, stamped with its event time; then end marks', async () => {
  const progress: number[] = []
  const { broker, codec, totals } = await replay({ onProgress: ({ rows }) => progress.push(rows) })
  const { rows, byPartition, fromMs, toMs } = await totals
  expect({ rows, fromMs, toMs }).toEqual({ rows: ROWS, fromMs: START, toMs: START + (INTERVALS - 1) * STEP })
  expect(byPartition.every((count) => count > 0)).toBe(true)
  expect(progress.at(-1)).toBe(ROWS)
  const found = [0, 0, 0, 0]
  const marks = new Set<number>()
  const partitionOf = new Map<string, Set<number>>()
  const lastMs = [0, 0, 0, 0]
  const decode = decodeAs(codec, 'Flow')
  await eachRecord(broker, ['telemetry.flows'], 'replay-1.', (_base, value, { partition, timestampMs }) => {
    if (value === null) {
      marks.add(partition)
      return
    }
    expect(marks.has(partition)).toBe(false)
    const flow = decode(value)
    expect(timestampMs).toBe(flow.event_time_ms)
    expect(timestampMs).toBeGreaterThanOrEqual(lastMs[partition] ?? 0)
    lastMs[partition] = timestampMs
    found[partition] = (found[partition] ?? 0) + 1
    const of = partitionOf.get(flow.src_region) ?? new Set()
    partitionOf.set(flow.src_region, of.add(partition))
  })
  expect(found).toEqual(byPartition)
  expect(marks.size).toBe(4)
  expect([...partitionOf.values()].every((of) => of.size === 1)).toBe(true)
})

test('the account of a replay holds through a topology, rows from a router to itself skipped', async () => {
  const { broker, codec, totals } = await replay()
  const { truth } = await totals
  expect(truth.flows).toEqual({ records: ROWS, skipped: INTERVALS * ROUTERS.length, bad: {}, unknown: 0 })
  const windows = INTERVALS * ROUTERS.length * (ROUTERS.length - 1)
  await process(broker, codec, countingTopology(STEP, START), { windows, prefix: 'replay-1.' })
  expect(await audit({ broker, codec, truth, warehouse: null, topicPrefix: 'replay-1.' })).toMatchObject({
    sound: true,
    windows,
    skipped: { self_pair: INTERVALS * ROUTERS.length },
    details: [],
  })
})

test('a speed keeps the pace of the data; an abort ends it with end marks', async () => {
  const clock = manualClock(0)
  const timers = manualTimers(clock)
  const abort = new AbortController()
  const { totals } = await replay({ clock, timers, speed: 300, signal: abort.signal })
  let done = false
  const finished = totals.then((t) => {
    done = true
    return t
  })
  // An interval of 300 s is a second at this speed: three seconds show four intervals.
  for (let second = 0; second < 3; second++) {
    await expect.poll(() => timers.pending).toBe(1)
    timers.advance(1000)
  }
  await expect.poll(() => timers.pending).toBe(1)
  expect(done).toBe(false)
  abort.abort()
  const { rows, truth, elapsedMs } = await finished
  expect(rows).toBe(4 * ROUTERS.length ** 2)
  expect(truth.flows.records).toBe(rows)
  expect(elapsedMs).toBe(3000)
})

test.each([0, -1, Number.NaN, Infinity])('speed %s is refused', async (speed) => {
  const { totals } = await replay({ speed })
  await expect(totals).rejects.toThrow(/speed/)
})
