import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Flow, RegionProbe } from '#schemas'
import { createLoad, MAX_DISORDER_MS } from '../../../jobs/demo/load.ts'
import { demoNetwork } from '../../../jobs/demo/scenario.ts'
import { createWorld } from '../../../jobs/demo/world.ts'
import { createNetwork, shortestSplits, utilisation } from '../../../pipelines/traffic-routing/network.ts'

const network = demoNetwork()
const windowMs = 1000
const dayMs = 60_000
const DAY = Date.UTC(2026, 0, 1)
const load = (seed = 1, recordsPerSecond = 240) =>
  createLoad({ seed, network, windowMs, dayMs, recordsPerSecond })

function flowsOf(from: number, to: number, made = load()): Flow[] {
  const flows: Flow[] = []
  made.flows(from, to, (flow) => flows.push({ ...flow }))
  return flows
}

describe('scenario', () => {
  test('is a network, shortest path first', () => {
    const built = createNetwork(network.links, network.pairs)
    expect([built.pairs, built.paths, built.links]).toEqual([12, 48, 16])
    for (let k = 0; k < built.pairs; k++) {
      const ways = [...built.latencyMs.subarray(built.firstPath[k], built.firstPath[k + 1])]
      expect(ways[0]).toBe(Math.min(...ways))
      expect(built.regions[built.firstPath[k] ?? 0]).toBe(network.streams[k]?.homeRegion)
    }
  })

  test('daily peaks fit the shortest paths; bursts overload a region although there is room elsewhere', () => {
    const built = createNetwork(network.links, network.pairs)
    const splits = shortestSplits(built)
    const world = createWorld({ seed: 1, network, windowMs, dayMs })
    const quiet = { usual: 0, burst: 0, total: 0 }
    for (let t = DAY; t < DAY + 20 * dayMs; t += 500) {
      const demand = Float64Array.from(network.streams, (_, k) => world.demand(k, t))
      const most = Math.max(...utilisation(built, splits, demand, new Float64Array(built.links)))
      const { burst } = world.incidents(t)
      const state = t >= burst.fromMs && t < burst.toMs ? 'burst' : 'usual'
      quiet[state] = Math.max(quiet[state], most)
      quiet.total = Math.max(
        quiet.total,
        demand.reduce((a, b) => a + b),
      )
    }
    const capacity = network.regions.reduce((sum, r) => sum + r.capacityBytesPerSecond, 0)
    expect(quiet.usual).toBeLessThan(0.9)
    expect(quiet.burst).toBeGreaterThan(1.2)
    expect(quiet.total).toBeLessThan(0.8 * capacity)
  })

  test.each([1, 5, 40])('%s streams have names of their own', (count) => {
    const { streams } = demoNetwork(count)
    expect(new Set(streams.map((s) => s.name)).size).toBe(count)
  })

  test('refuses no streams', () => expect(() => demoNetwork(0)).toThrow(RangeError))
})

describe('load', () => {
  test('a stretch is the same however it is cut', () => {
    const cut = fc.uniqueArray(fc.integer({ min: 1, max: 999 }), { maxLength: 6 })
    const rate = fc.constantFrom(7, 240, 999.5)
    fc.assert(
      fc.property(cut, rate, fc.integer({ min: 0, max: dayMs }), (cuts, recordsPerSecond, offset) => {
        const from = DAY + offset
        const bounds = [0, ...cuts.toSorted((a, b) => a - b), 1000]
        const parts = bounds
          .slice(1)
          .flatMap((end, i) => flowsOf(from + (bounds[i] ?? 0), from + end, load(1, recordsPerSecond)))
        expect(parts).toEqual(flowsOf(from, from + 1000, load(1, recordsPerSecond)))
      }),
      { numRuns: 30 },
    )
  })

  test('another seed is another day', () => {
    expect(flowsOf(DAY, DAY + 100, load(2))).not.toEqual(flowsOf(DAY, DAY + 100))
  })

  test('event times are out of order by less than the bound, and at the rate asked for', () => {
    const flows = flowsOf(DAY, DAY + 10_000)
    expect(flows).toHaveLength(2400)
    let newest = 0
    let disorder = 0
    for (const { event_time_ms } of flows) {
      newest = Math.max(newest, event_time_ms)
      disorder = Math.max(disorder, newest - event_time_ms)
      expect(event_time_ms).toBeLessThan(DAY + 10_000)
      expect(event_time_ms).toBeGreaterThanOrEqual(DAY - MAX_DISORDER_MS)
    }
    expect(disorder).toBeGreaterThan(20)
    expect(disorder).toBeLessThan(MAX_DISORDER_MS)
  })

  test('records add up to the demand, which follows the day', () => {
    const made = load(1, 2400)
    const stream = network.streams.findIndex((s) => s.name === 'paris>api')
    const seen = (at: number): number => {
      let bytes = 0
      made.flows(at, at + 1000, (flow, k) => (bytes += k === stream ? flow.bytes : 0))
      return bytes
    }
    for (const at of [DAY, DAY + 20_000, DAY + 30_000]) {
      expect(Math.abs(seen(at) / made.world.demand(stream, at + 500) - 1)).toBeLessThan(0.08)
    }
    expect(seen(DAY + dayMs / 2)).toBeGreaterThan(2 * seen(DAY))
    expect(Math.abs(seen(DAY + 3 * dayMs) / seen(DAY) - 1)).toBeLessThan(0.2)
  })

  test('a burst multiplies one stream and leaves the others alone', () => {
    const { world } = load()
    const { burst } = world.incidents(DAY)
    const middle = (burst.fromMs + burst.toMs) / 2
    // The same hour of the next day, but for the stream that bursts then.
    const next = world.incidents(middle + dayMs).burst.stream
    const ratios = network.streams.map((stream, k) => ({
      stream: stream.name,
      ratio: world.demand(k, middle) / world.demand(k, middle + dayMs),
    }))
    const bursting = ratios.filter((r) => r.stream === burst.stream)
    const others = ratios.filter((r) => r.stream !== burst.stream && r.stream !== next)
    expect(Math.min(...bursting.map((r) => r.ratio))).toBeGreaterThan(1.8)
    expect(Math.max(...others.map((r) => r.ratio))).toBeLessThan(1.3)
  })

  test('flows follow Zipf, with hashes spread over the ring', () => {
    const counts = new Map<number, number>()
    for (const flow of flowsOf(DAY, DAY + 60_000, load(1, 2400))) {
      if (flow.stream === 'paris>web') counts.set(flow.flow_hash, (counts.get(flow.flow_hash) ?? 0) + 1)
    }
    const sorted = [...counts.values()].toSorted((a, b) => b - a)
    const total = sorted.reduce((a, b) => a + b)
    expect((sorted[0] ?? 0) / total).toBeGreaterThan(0.15)
    expect((sorted[0] ?? 0) / (sorted[9] ?? 1)).toBeGreaterThan(6)
    const low = [...counts.keys()].filter((h) => h < 2 ** 31).length
    expect(Math.abs(low / counts.size - 0.5)).toBeLessThan(0.1)
  })

  test('a degraded region is slow, loses, can serve less and flaps; overload shows in its probes', () => {
    const made = load()
    const { degradation } = made.world.incidents(DAY)
    const { region: name, fromMs, toMs } = degradation
    const probesOf = (from: number, to: number, loadOf?: () => number): RegionProbe[] => {
      const probes: RegionProbe[] = []
      made.probes(from, to, (probe) => probe.region === name && probes.push(probe), loadOf)
      return probes
    }
    const calm = () => 1e6
    const ill = probesOf(fromMs + (toMs - fromMs) / 4, toMs - (toMs - fromMs) / 4, calm)
    const well = probesOf(toMs + 1000, toMs + 4000, calm)
    expect(well).toHaveLength(12)
    expect(well.every((p) => p.up && p.rtt_ms < 10)).toBe(true)
    expect(ill.some((p) => !p.up)).toBe(true)
    expect(ill.filter((p) => p.up).every((p) => p.rtt_ms > 50 && p.loss_ratio > 0.03)).toBe(true)
    expect(ill[0]?.capacity_bytes_per_second).toBeLessThan(0.6 * (well[0]?.capacity_bytes_per_second ?? 0))
    const [flooded] = probesOf(toMs + 1000, toMs + 1300, () => 1e9)
    expect(flooded?.loss_ratio).toBeGreaterThan(0.5)
    expect(flooded?.bytes_per_second).toBe(flooded?.capacity_bytes_per_second)
  })
})
