import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runEvaluate } from '../../jobs/evaluate.ts'
import { DATA_EVALUATION } from '../../jobs/evaluate-data.ts'
import { evaluateData } from '../../pipelines/data-sharding/evaluate.ts'
import {
  CHECKSUMS,
  checksums,
  differences,
  generateTrace,
  loadTraces,
  sourceCheck,
  workloadTrace,
} from '../../pipelines/data-sharding/evaluation/index.ts'
import { boundedPlan, plannedPlan, staticPlan } from '../../pipelines/data-sharding/evaluation/plans.ts'
import { workAt } from '../../pipelines/data-sharding/evaluation/trace.ts'

const DATA = join(import.meta.dirname, '../../../shared/data')
const HOTEL = join(DATA, 'e_hotel_search_log_part1')
const FLIGHTS = join(DATA, 'e_flights_keyed_stream')
const QUIET = {
  data: null,
  later: false,
  alphas: [],
  seeds: [1],
  workload: null,
  neverWorse: false,
  log: () => undefined,
}

describe('the generator is the one of the protocol', () => {
  // The other rows are the same code with another exponent: `forestall evaluate data-sharding --generator` has all nine.
  test.each(['synthetic 0.9 seed 1', 'synthetic 1.1 seed 2', 'synthetic 1.4 seed 3'])('%s', (name) => {
    const [, alpha, , seed] = name.split(' ')
    expect(checksums(generateTrace(Number(alpha), Number(seed)))).toEqual(CHECKSUMS[name])
  })
})

describe.skipIf(!existsSync(HOTEL))('rows of the hotel table, to the digits shown', () => {
  const [trace] = existsSync(HOTEL) ? loadTraces(HOTEL) : []

  test('the log is the one of the page', () => {
    expect(sourceCheck(trace!)).toBe(true)
    expect([trace!.steps, trace!.start, trace!.t0, trace!.instances]).toEqual([1848, 888, 1368, 4])
  })

  test.each([
    ['static ring, 100 vnodes', () => staticPlan(trace!, 'ring')],
    ['static rendezvous', () => staticPlan(trace!, 'rendezvous')],
    ['static rendezvous + 2nd replica of 128 hottest, live router', () => staticPlan(trace!, 1.5)],
    ['1.1 S: static + 2nd replica of 26 hottest, live router', () => staticPlan(trace!, 1.1)],
    ['bounded loads eps 0.25 (churn unlimited)', () => boundedPlan(trace!)],
    [
      'reactive (last step), live router',
      () => plannedPlan(trace!, (t) => workAt(trace!, t - 1), 'live', 1.5, false),
    ],
    [
      'clairvoyant, live router',
      () => plannedPlan(trace!, (t) => workAt(trace!, Math.min(t + 1, trace!.steps - 1)), 'live', 1.5, false),
    ],
  ])('%s', (plan, run) => {
    expect(differences('hotel', { plan, metrics: run() })).toEqual([])
  })

  test('ours does no harm: not above static at 1.1 replicas a segment, without churn', () => {
    const { report } = evaluateData({ ...QUIET, data: HOTEL, plan: '1.1 S: ', replicas: 1.1 })
    const ours = report.plans['1.1 S: ours, live']!
    const fixed = report.plans['1.1 S: static + 2nd replica of 26 hottest, live router']!
    expect(ours['workOverSloPercent']).toBeLessThanOrEqual(fixed['workOverSloPercent']!)
    expect(ours['copiesPerStep']).toBeLessThanOrEqual(0.05)
    expect(ours['cost']).toBeLessThanOrEqual(1.1 * fixed['cost']! + 0.002)
  })
})

describe.skipIf(!existsSync(FLIGHTS))('flights', () => {
  test('sum to the work and checksum of the page', () => {
    const [trace] = loadTraces(FLIGHTS)
    expect(sourceCheck(trace!)).toBe(true)
    expect(
      differences('flights', { plan: 'static rendezvous', metrics: staticPlan(trace!, 'rendezvous') }),
    ).toEqual([])
  })
})

describe('loads of other kinds', () => {
  test('where there is nothing to forecast, ours is no worse than the best simple plan', () => {
    const { report } = evaluateData({ ...QUIET, workload: 'noise', plan: '1.1 S: ', replicas: 1.1 })
    const never = report.targets.filter(({ name }) => name.includes('not above the best simple plan'))
    expect(never.length).toBeGreaterThan(0)
    expect(never.filter(({ met }) => !met)).toEqual([])
  })

  test('the comparison with simple plans is one call: a target each, the tightest first', () => {
    const { tables, report, notes } = evaluateData({
      ...QUIET,
      workload: 'ramp',
      neverWorse: true,
      plan: '',
      replicas: null,
    })
    const slacks = tables[0]!.rows.map(({ metrics }) => metrics['slack']!)
    expect(slacks).toEqual(slacks.toSorted((a, b) => a - b))
    expect(report.targets.map(({ met }) => met)).toEqual(slacks.map((slack) => slack >= 0))
    expect(report.plans['ours']).toMatchObject({ compared: 3 })
    expect(notes[0]).toContain('of 3 comparisons')
  })

  test('a workload is a function of its seed, and an unknown one is refused', () => {
    const sum = (seed: number) => checksums(workloadTrace('sweep', seed)).join()
    expect(sum(3)).toBe(sum(3))
    expect(sum(3)).not.toBe(sum(4))
    expect(() => workloadTrace('tides', 1)).toThrow('tides')
  })
})

describe('any keyed log', () => {
  let folder = ''
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'keyed-'))
    const rows = Array.from({ length: 4000 }, (_, i) => {
      const at = new Date(Date.UTC(2026, 0, 1) + i * 200_000).toISOString()
      return [at, `k${(i * i) % 37}`, 1 + (i % 3)] as const
    })
    writeFileSync(join(folder, 'a.csv'), `time,key,work\n${rows.map((r) => r.join(',')).join('\n')}\n`)
    const json = rows.map(([time, key, work]) => JSON.stringify({ time, key, work }))
    writeFileSync(join(folder, 'b.jsonl'), json.join('\n'))
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  test('CSV and JSON lines give the same trace', () => {
    const [csv, json] = loadTraces(folder)
    expect(csv!.steps).toBeGreaterThan(800)
    expect(json!.work).toEqual(csv!.work)
    expect([csv!.name, json!.name]).toEqual(['a.csv', 'b.jsonl'])
  })

  test('arguments that contradict each other, and a folder without a log, are refused with status 2', async () => {
    expect(await runEvaluate(['data-sharding'])).toBe(2)
    expect(await runEvaluate(['data-sharding', '--generator', '--replicas', '7'])).toBe(2)
    expect(await runEvaluate(['data-sharding', '--data', import.meta.dirname])).toBe(2)
    expect(await runEvaluate(['data-sharding', '--data', import.meta.filename])).toBe(2)
    expect(await runEvaluate(['data-sharding', '--nonsense'])).toBe(2)
  })

  test.each([
    [['--generator', '--alpha', ''], '--alpha'],
    [['--generator', '--alpha=-1'], '--alpha'],
    [['--generator', '--seeds', '1.5'], '--seeds'],
    [['--generator', '--workload', 'sweep', '--alpha', '1'], '--alpha has no effect with --workload'],
    [['--data', '.', '--seeds', '1'], '--seeds has no effect with --data'],
    [['--generator', '--never-worse', '--plan', 'x'], '--plan has no effect with --never-worse'],
  ])('%j is refused before anything is computed', (args, message) => {
    expect(() => DATA_EVALUATION.run(args, () => undefined)).toThrow(message)
  })

  test('a plan that nothing is named like is refused with the names that there are, before any forecast', () => {
    const log: string[] = []
    const run = () => DATA_EVALUATION.run(['--data', folder, '--plan', 'tides'], (line) => log.push(line))
    expect(run).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', cure: expect.stringContaining('static rendezvous') }),
    )
    expect(log).toEqual([])
  })

  test("another file of a protocol's form is scored, and is no check that failed", async () => {
    const rows = Array.from({ length: 400 }, (_, i) => {
      const at = new Date(Date.UTC(2024, 0, 1) + i * 3_600_000).toISOString().slice(0, 16)
      return `${at},A,B${i % 9},C,${i % 7 === 0 ? '' : i % 40}`
    })
    const flights = mkdtempSync(join(tmpdir(), 'flights-'))
    writeFileSync(
      join(flights, 'departures.csv'),
      `sched_dep_local,origin,dest,carrier,dep_delay\n${rows.join('\n')}\n`,
    )
    const { report, notes = [] } = await DATA_EVALUATION.run(
      ['--data', flights, '--plan', 'static rendezvous'],
      () => undefined,
    )
    rmSync(flights, { recursive: true })
    expect(report.checks).toEqual({})
    expect(notes.join()).toContain("other data than the page's")
  })
})
