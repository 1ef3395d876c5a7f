import { expect, test } from 'vitest'
import type { PipelineFeature, ServiceFeature } from '#schemas'
import { fillableTables } from '#core/forecasting'
import { ByteReader, ByteWriter } from '#core/math'
import { dataConfig } from '#data-sharding'
import { POLICY_VERSION } from '../../pipelines/data-sharding/policy.ts'
import { ServiceWorld } from '../../pipelines/data-sharding/world.ts'

const WINDOW_MS = 60_000
const SALES = [50, 127, 200, 288, 340, 425, 500]
const CAPACITY = 100
/** Beyond this share of it, latency suffers. */
const FULL = 0.92
const isOn = (w: number): boolean => SALES.some((from) => w >= from && w < from + 4)

const SERVICE = {
  service: 'search',
  instances: ['a', 'b'],
  replicas: 1,
  capacity: CAPACITY,
  minInstances: 1,
  maxInstances: 40,
}
const config = dataConfig({ services: [SERVICE], segments: 8, windowMs: WINDOW_MS, dayWindows: 24 })

/** Campaigns announced from the beginning. */
function calendar() {
  const tables = fillableTables()
  for (const from of SALES) {
    tables.putEvent(`sale${from}`, {
      event_id: `sale${from}`,
      revision: 1,
      kind: 'campaign',
      scope: 'search/k1',
      summary: 'sale',
      issued_at_ms: 0,
      valid_from_ms: from * WINDOW_MS,
      valid_to_ms: (from + 4) * WINDOW_MS,
      severity: 1,
      source: 'test',
      cancelled: false,
      geometry: null,
    })
  }
  return tables
}

/** Windows with too few instances, and instance windows beyond need, two weeks after the first campaign came as a surprise. */
function run(world: ServiceWorld): { short: number; spare: number } {
  const decided: number[] = []
  let short = 0
  let spare = 0
  for (let w = 0; w < 560; w++) {
    const work = isOn(w) ? 700 : 60 + ((w * 7) % 11)
    const segment_work = new Float64Array(8).fill(work / 8)
    world.step((w + 1) * WINDOW_MS, { segment_work } as unknown as ServiceFeature, new Map(), new Map())
    decided.push(world.scale(decided.at(-1) ?? 1).instances)
    // Two windows until an instance is up, and the one in which it was asked for; one that is not wanted goes at once.
    const there = Math.min(...[1, 2, 3].map((k) => decided[w - k] ?? 0))
    if (w <= 400) continue
    if (there * CAPACITY * FULL < work) short++
    spare += Math.max(0, there - Math.ceil(work / (CAPACITY * FULL)))
  }
  return { short, spare }
}

test('instances are there for a campaign that the calendar announces, and only for it', () => {
  const [service] = config.services
  if (service === undefined) throw new Error('no service')
  const tables = calendar()
  const told = run(new ServiceWorld(config, service, () => tables.events()))
  const blind = run(new ServiceWorld(config, service))
  expect(told.short).toBe(0)
  // Who is not told keeps instances for one all the time.
  expect(told.spare).toBeLessThan(blind.spare / 4)
})

test('segments of an elastic service lie on the instances that were decided and report themselves, and leave the others', () => {
  const names = ['a', 'b', 'c']
  const elastic = dataConfig({
    ...config,
    services: [
      { ...SERVICE, instances: names, minInstances: 2, maxInstances: 3, replicas: 1, elastic: true },
    ],
    segments: 12,
    copiesPerWindow: 2,
    patienceWindows: 3,
  })
  const [service = SERVICE] = elastic.services
  const world = new ServiceWorld(elastic, service)
  const reporting = (count: number) =>
    new Map(names.slice(0, count).map((name) => [name, { up_ratio: 1, capacity_min: 1 } as PipelineFeature]))
  /** Segments on the third instance after some windows. */
  function run(windows: number, there: number, decided: number): number {
    for (let w = 0; w < windows; w++) {
      const segment_work = Float64Array.from({ length: 12 }, (_, s) => 10 + s)
      const feature = { segment_work } as unknown as ServiceFeature
      world.step(w * WINDOW_MS, feature, new Map(), reporting(there), decided)
    }
    return Array.from({ length: 12 }, (_, s) => world.layout.holds(s, 2)).filter(Boolean).length
  }
  expect(run(5, 2, 2)).toBe(0)
  // Decided, but not there yet.
  expect(run(5, 2, 3)).toBe(0)
  expect(run(8, 3, 3)).toBeGreaterThan(2)
  expect(run(8, 3, 2)).toBe(0)
  expect(run(8, 3, 3)).toBeGreaterThan(2)
  // Gone without a decision.
  expect(run(12, 2, 3)).toBe(0)
})

test('an instance that is down has no segment alone, nor for a window of silence, and gets its part back once it is up', () => {
  const names = ['a', 'b', 'c']
  const silent = dataConfig({
    ...config,
    services: [{ ...SERVICE, instances: names }],
    segments: 12,
    copiesPerWindow: 1,
    patienceWindows: 2,
  })
  const [service = SERVICE] = silent.services
  let world = new ServiceWorld(silent, service)
  let windows = 0
  /** Segments on the second instance after some windows in which it says what is given (null: nothing). */
  function run(count: number, upRatio: number | null): number {
    for (let w = 0; w < count; w++) {
      const rows = names.map((name) => [name, { up_ratio: 1, capacity_min: 3 } as PipelineFeature] as const)
      const reports = new Map<string, PipelineFeature>(rows)
      reports.delete('b')
      if (upRatio !== null) reports.set('b', { up_ratio: upRatio, capacity_min: 3 } as PipelineFeature)
      const segment_work = new Float64Array(12).fill(10)
      const feature = { segment_work } as unknown as ServiceFeature
      world.step(windows++ * WINDOW_MS, feature, new Map(), reports)
    }
    return Array.from({ length: 12 }, (_, s) => world.layout.holds(s, 1)).filter(Boolean).length
  }
  expect(run(10, 1)).toBe(4)
  expect(run(1, 0.2)).toBe(0)
  expect(world.imbalance(world.before)).toBe(3)
  expect(world.imbalance(world.layout)).toBeLessThan(1.4)
  expect(run(2, null)).toBe(0)
  const out = new ByteWriter()
  world.encode(out)
  world = new ServiceWorld(silent, service)
  world.decode(new ByteReader(out.take()))
  expect(run(10, 0.4)).toBe(0)
  expect(run(12, 0.9)).toBeGreaterThan(2)
})

test('an instance that is down for a moment keeps its segments, also over a restart in between', () => {
  const names = ['a', 'b', 'c']
  const patient = dataConfig({
    ...config,
    services: [{ ...SERVICE, instances: names }],
    segments: 12,
    windowMs: 1000,
    downAfterMs: 3000,
  })
  const [service = SERVICE] = patient.services
  let world = new ServiceWorld(patient, service)
  let windows = 0
  /** Segments on the second instance after some windows in which it was up for this share of its reports. */
  function run(count: number, upRatio: number): number {
    for (let w = 0; w < count; w++) {
      const reports = new Map(
        names.map((name) => {
          const row = { up_ratio: name === 'b' ? upRatio : 1, capacity_min: 3 } as PipelineFeature
          return [name, row] as const
        }),
      )
      const segment_work = new Float64Array(12).fill(10)
      world.step(windows++ * 1000, { segment_work } as unknown as ServiceFeature, new Map(), reports)
    }
    return Array.from({ length: 12 }, (_, s) => world.layout.holds(s, 1)).filter(Boolean).length
  }
  expect(run(10, 1)).toBe(4)
  expect(run(2, 0)).toBe(4)
  expect(run(1, 1)).toBe(4)
  expect(run(2, 0)).toBe(4)
  const out = new ByteWriter()
  world.encode(out)
  world = new ServiceWorld(patient, service)
  world.decode(new ByteReader(out.take()))
  expect(run(1, 0)).toBe(0)
})

test('asks for all instances, not for the fewest, where even all of them could not serve the load in time', () => {
  const full = dataConfig({ ...config, services: [{ ...SERVICE, minInstances: 5, maxInstances: 6 }] })
  const [service = SERVICE] = full.services
  const world = new ServiceWorld(full, service)
  const wished: number[] = []
  for (let w = 0; w < 60; w++) {
    const segment_work = new Float64Array(8).fill(150)
    world.step((w + 1) * WINDOW_MS, { segment_work } as unknown as ServiceFeature, new Map(), new Map())
    wished.push(world.scale(6).wish.instances)
  }
  expect(new Set(wished)).toEqual(new Set([6]))
})

test('a state of another form is refused, not read as what it is not', () => {
  const [service = SERVICE] = config.services
  const out = new ByteWriter()
  new ServiceWorld(config, service).encode(out)
  const state = out.take()
  const restored = (bytes: Uint8Array) => () =>
    new ServiceWorld(config, service).decode(new ByteReader(bytes))
  expect(restored(state)).not.toThrow()
  // Before it had a version of its own, it began with that of the placement policy.
  const version = new ByteReader(state)
  version.text()
  const unversioned = version.bytes(version.remaining)
  expect(new ByteReader(unversioned).text()).toBe(POLICY_VERSION)
  for (const other of [unversioned, Uint8Array.from(state, (byte, i) => (i === 1 ? byte ^ 1 : byte))])
    expect(restored(other)).toThrow(expect.objectContaining({ code: 'STATE_UNREADABLE' }))
})
