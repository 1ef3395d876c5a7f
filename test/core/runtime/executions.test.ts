import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { manualClock } from '../../../pipelines/core/ports/index.ts'
import { partitionOf, type Topology } from '../../../pipelines/core/runtime/index.ts'
import { createTestDriver, type TestDriver } from '../../../pipelines/core/runtime/testing/test-driver.ts'
import type { Flow } from '../../../schemas/index.ts'
import {
  caseFlows,
  caseTopology,
  lateFlows,
  NOW,
  shuffledWithinGrace,
  windowLines,
} from './executions-case.ts'

const GOLDEN = '../../golden/executions/windows.txt'
const INPUT = 'telemetry.flows'

interface Place {
  readonly topic?: string
  readonly partition: number
}

/** One way to run the case. */
interface Execution {
  readonly topology?: Topology
  readonly flows?: readonly Flow[]
  /** Partitions of the input. */
  readonly partitions?: number
  readonly batchRecords?: number
  /** Where a flow enters. Default: the partitions in turn, on the one source. */
  readonly place?: (flow: Flow, i: number) => Place
  /** Called after so many flows have been handed in. */
  readonly every?: { readonly flows: number; readonly act: (driver: TestDriver) => Promise<void> }
}

async function execute(execution: Execution): Promise<string> {
  const driver = await executed(execution)
  expect(driver.counters.late).toBe(0)
  return windowLines(driver.output('features.streams', 'StreamFeature'))
}

async function executed(execution: Execution): Promise<TestDriver> {
  const { topology = caseTopology(), flows = caseFlows(), partitions = 3, batchRecords = 7 } = execution
  const sources = Object.values(topology.sources).map((s) => s.topic)
  const merged = Object.values(topology.windows).map((w) => w.merge?.partitions ?? partitions)
  const driver = await createTestDriver(topology, {
    partitions: {
      ...Object.fromEntries(sources.map((topic) => [topic, partitions])),
      'features.streams': Math.max(...merged),
    },
    clock: manualClock(NOW),
    batchRecords,
  })
  const { every, place = (_flow: Flow, i: number): Place => ({ partition: i % partitions }) } = execution
  for (const [i, f] of flows.entries()) {
    const { topic = INPUT, partition } = place(f, i)
    driver.pipe(topic, partition, 'Flow', f, f.event_time_ms)
    if (every !== undefined && i % every.flows === every.flows - 1) await every.act(driver)
  }
  for (const topic of sources) driver.end(topic)
  await driver.run()
  return driver
}

const work = (driver: TestDriver) => driver.run()

/** Everything that is done twice: once in vain, once to a commit, which the tasks then have to be restored from. */
async function crashAroundCommit(driver: TestDriver): Promise<void> {
  await driver.run({ commit: false })
  await driver.crash()
  await driver.run()
  await driver.crash()
}

const byKey = (partitions: number) => (f: Flow) => ({
  partition: partitionOf(Buffer.from(f.stream), partitions),
})

/** Neither commits, kills, batches nor the number of partitions may show in the windows. */
const EXECUTIONS: Readonly<Record<string, Execution>> = {
  straight: {},
  'one record at a time': { batchRecords: 1 },
  'all records at once': { batchRecords: 1_000_000 },
  'committed after every record': { every: { flows: 1, act: work } },
  'killed before and after every commit, a commit per record': {
    every: { flows: 1, act: crashAroundCommit },
  },
  'killed before and after every commit, a commit per 50 records': {
    every: { flows: 50, act: crashAroundCommit },
  },
  'a batch redelivered three times before it is committed': {
    every: {
      flows: 20,
      async act(driver) {
        for (let times = 0; times < 3; times++) {
          await driver.run({ commit: false })
          await driver.crash()
        }
        await driver.run()
      },
    },
  },
  'one partition': { partitions: 1 },
  'seven partitions': { partitions: 7 },
  'merged on one partition': { topology: caseTopology({ merge: 1 }) },
  'merged on five partitions, killed around every commit': {
    topology: caseTopology({ merge: 5 }),
    every: { flows: 30, act: crashAroundCommit },
  },
  'shuffled within grace': { flows: shuffledWithinGrace(caseFlows()), every: { flows: 10, act: work } },
  'shuffled within grace, killed around every commit': {
    flows: shuffledWithinGrace(caseFlows()),
    every: { flows: 10, act: crashAroundCommit },
  },
  'partitions that follow the key': {
    topology: caseTopology({ merge: 0 }),
    place: byKey(3),
    every: { flows: 10, act: work },
  },
  'partitions that follow the key, killed around every commit': {
    topology: caseTopology({ merge: 0 }),
    place: byKey(3),
    every: { flows: 10, act: crashAroundCommit },
  },
  'three source topics': {
    topology: caseTopology({ sources: ['telemetry.a', 'telemetry.b', 'telemetry.c'] }),
    place: (f, i) => ({ topic: `telemetry.${'abc'[Number(f.stream.slice(1)) % 3]}`, partition: i % 3 }),
    every: { flows: 25, act: work },
  },
  'three source topics, killed around every commit': {
    topology: caseTopology({ sources: ['telemetry.a', 'telemetry.b', 'telemetry.c'] }),
    place: (f, i) => ({ topic: `telemetry.${'abc'[Number(f.stream.slice(1)) % 3]}`, partition: i % 3 }),
    every: { flows: 25, act: crashAroundCommit },
  },
  'a silent partition': {
    partitions: 4,
    place: (_f, i) => ({ partition: i % 3 }),
    every: { flows: 25, act: work },
  },
  'a silent partition that is idle, killed around every commit': {
    partitions: 4,
    place: (_f, i) => ({ partition: i % 3 }),
    every: {
      flows: 25,
      async act(driver) {
        await crashAroundCommit(driver)
        driver.clock.advance(1000)
        driver.tick()
        await driver.run()
      },
    },
  },
}

describe('one case, many executions: the test driver', () => {
  test('the golden windows are those of a straight run', async () => {
    await expect(await execute({})).toMatchFileSnapshot(GOLDEN)
  })

  test.each(Object.entries(EXECUTIONS))('%s', async (_name, execution) => {
    expect(await execute(execution)).toBe(readFileSync(new URL(GOLDEN, import.meta.url), 'utf8'))
  })
})

describe('one hopping case, many executions', () => {
  const hopping = (merge: number) => caseTopology({ merge, sizeMs: 2500, advanceMs: 1000 })
  test.each([
    ['merged, one record at a time', { topology: hopping(2), batchRecords: 1 }],
    [
      'merged, killed around every commit',
      { topology: hopping(3), every: { flows: 9, act: crashAroundCommit } },
    ],
    [
      'partitions that follow the key, killed around every commit',
      { topology: hopping(0), place: byKey(3), every: { flows: 9, act: crashAroundCommit } },
    ],
    [
      'shuffled within grace',
      { topology: hopping(2), flows: shuffledWithinGrace(caseFlows()), every: { flows: 9, act: work } },
    ],
  ] satisfies [string, Execution][])('%s', async (_name, execution) => {
    expect(await execute(execution)).toBe(await execute({ topology: hopping(2) }))
  })
})

/** Whether a record is late depends on what came before it in its partition: only partitions must stay as they are. */
describe('one case with late data, at equal partition counts', () => {
  /** Windows, and the records that are in none. */
  async function withLate(execution: Execution): Promise<string> {
    const driver = await executed({ flows: lateFlows(), ...execution })
    const letters = driver.output('dlq.telemetry.flows', 'DeadLetter')
    const late = letters.map((l) => `${l.partition}:${l.offset} ${l.reason_code}`).sort()
    expect(late.length).toBeGreaterThan(5)
    return `${windowLines(driver.output('features.streams', 'StreamFeature'))}${late.join('\n')}`
  }
  test.each([
    ['one record at a time', { batchRecords: 1 }],
    ['all records at once', { batchRecords: 1_000_000 }],
    ['committed after every record', { every: { flows: 1, act: work } }],
    ['killed before and after every commit', { every: { flows: 8, act: crashAroundCommit } }],
    [
      'merged on five partitions, killed around every commit',
      { topology: caseTopology({ merge: 5 }), every: { flows: 8, act: crashAroundCommit } },
    ],
  ] satisfies [string, Execution][])('%s', async (_name, execution) => {
    expect(await withLate(execution)).toBe(await withLate({}))
  })

  test.each([
    ['one record at a time', { batchRecords: 1 }],
    ['all records at once', { batchRecords: 1_000_000 }],
    ['killed before and after every commit', { every: { flows: 8, act: crashAroundCommit } }],
  ] satisfies [string, Execution][])('hopping, %s', async (_name, execution) => {
    const topology = caseTopology({ merge: 3, sizeMs: 2500, advanceMs: 1000 })
    expect(await withLate({ topology, ...execution })).toBe(await withLate({ topology }))
  })
})
