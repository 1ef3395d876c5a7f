import { describe, expect, test } from 'vitest'
import type { DeadLetter, Flow, RegionFeature, RegionProbe, StreamFeature } from '#schemas'
import { manualClock } from '#core/ports'
import { featuresTopology } from '#traffic-routing'
import { createTestDriver, type TestDriver } from '../../pipelines/core/runtime/testing/test-driver.ts'
import { flowOf, probeOf, START_MS, tinyConfig } from './chain.ts'

const FLOWS = 'telemetry.flows'
const PROBES = 'telemetry.regions'
const partitions = { [FLOWS]: 3, [PROBES]: 2, 'features.streams': 2, 'features.regions': 2 }

const newDriver = (): Promise<TestDriver> =>
  createTestDriver(featuresTopology(tinyConfig()), { partitions, clock: manualClock(START_MS) })

/** Flows and probes, dealt over the partitions in turn, as a bounded input. */
async function featuresOf(
  flows: readonly Partial<Flow>[],
  probes: readonly Partial<RegionProbe>[] = [],
): Promise<{ driver: TestDriver; streams: StreamFeature[]; regions: RegionFeature[] }> {
  const driver = await newDriver()
  flows.forEach((flow, i) => driver.pipe(FLOWS, i % 3, 'Flow', flowOf(flow)))
  probes.forEach((probe, i) => driver.pipe(PROBES, i % 2, 'RegionProbe', probeOf(probe)))
  driver.end(FLOWS)
  driver.end(PROBES)
  await driver.run()
  const streams = driver.output('features.streams', 'StreamFeature')
  return { driver, streams, regions: driver.output('features.regions', 'RegionFeature') }
}

describe('streams', () => {
  test('the records of a stream meet from all partitions in one window', async () => {
    const flows = Array.from({ length: 9 }, (_, i) => ({ event_time_ms: START_MS + 100 * i, bytes: 10 + i }))
    const { streams } = await featuresOf([...flows, { event_time_ms: START_MS + 1000, bytes: 7 }])
    const [first, second] = streams
    expect(streams).toHaveLength(2)
    expect(first).toMatchObject({
      stream: 'a>web',
      window_start_ms: START_MS,
      window_end_ms: START_MS + 1000,
      records: 9,
      bytes: 126,
      packets: 18,
      bytes_per_second: 126,
      packet_bytes_mean: 7,
      incomplete: false,
    })
    expect(second).toMatchObject({ window_start_ms: START_MS + 1000, records: 1, bytes: 7 })
  })

  test('protocols are shares of the bytes, addresses are counted once', async () => {
    const { streams } = await featuresOf([
      { bytes: 300, protocol: 6, src_addr: '10.0.0.1', dst_addr: '10.1.0.1' },
      { bytes: 150, protocol: 17, src_addr: '10.0.0.1', dst_addr: '10.1.0.2' },
      { bytes: 50, protocol: 1, src_addr: '10.0.0.2', dst_addr: '10.1.0.3' },
    ])
    expect(streams[0]).toMatchObject({ tcp_share: 0.6, udp_share: 0.3, sources: 2, destinations: 3 })
  })

  test('the ring says where the bytes lie by the leading bits of the flow hash', async () => {
    const bin = 2 ** 26
    const { streams } = await featuresOf([
      { bytes: 1, flow_hash: 1 },
      { bytes: 10, flow_hash: bin - 1 },
      { bytes: 100, flow_hash: bin },
      { bytes: 1000, flow_hash: 2 ** 32 - 1 },
    ])
    const ring = streams[0]!.ring_bytes
    expect(ring).toHaveLength(64)
    expect([ring[0], ring[1], ring[63]]).toEqual([11, 100, 1000])
    expect(ring.reduce((sum, x) => sum + x, 0)).toBe(streams[0]!.bytes)
  })

  test('a window without bytes has finite features', async () => {
    const { streams } = await featuresOf([{ bytes: 0, packets: 0 }])
    for (const value of Object.values(streams[0]!).filter((v) => typeof v === 'number'))
      expect(Number.isFinite(value)).toBe(true)
    expect(streams[0]).toMatchObject({ bytes_per_second: 0, tcp_share: 0, packet_bytes_mean: 0 })
  })

  test('traffic of a place to itself is skipped and counted, and so is not a dead letter', async () => {
    const { driver, streams } = await featuresOf([{ src_region: 'east', dst_region: 'east' }, { bytes: 5 }])
    expect(streams.map((s) => s.bytes)).toEqual([5])
    expect(driver.counters.skipped).toEqual({ self_pair: 1 })
    expect(driver.counters.deadLetters).toBe(0)
  })

  test('without regions a flow is not taken for one to itself', async () => {
    const { streams } = await featuresOf([{ src_region: '', dst_region: '' }])
    expect(streams).toHaveLength(1)
  })
})

describe('regions', () => {
  test('means, the smallest capacity and the share of probes that were answered', async () => {
    const { regions } = await featuresOf(
      [],
      [
        { rtt_ms: 10, capacity_bytes_per_second: 900, loss_ratio: 0 },
        { rtt_ms: 30, capacity_bytes_per_second: 1000, loss_ratio: 0.2 },
        { rtt_ms: 20, up: false, loss_ratio: 0.1, error_ratio: 0.6 },
        { region: 'west', rtt_ms: 7 },
      ],
    )
    const byName = new Map(regions.map((r) => [r.region, r]))
    const east = byName.get('east')!
    expect(east).toMatchObject({ records: 3, rtt_ms_mean: 20, capacity_bytes_per_second_min: 900 })
    expect(east.up_ratio).toBeCloseTo(2 / 3, 12)
    expect(east.loss_ratio_mean).toBeCloseTo(0.1, 12)
    expect(east.error_ratio_mean).toBeCloseTo(0.2, 12)
    expect(byName.get('west')).toMatchObject({ records: 1, rtt_ms_mean: 7, up_ratio: 1 })
  })
})

describe('what is refused goes to the dead letters with its field and value', () => {
  const reasonOf = (letters: DeadLetter[]) => letters.map((letter) => letter.reason)

  test.each<[string, Partial<Flow>, string]>([
    ['no bytes that are a number', { bytes: Number.NaN }, 'bytes = NaN'],
    ['bytes without end', { bytes: Number.POSITIVE_INFINITY }, 'bytes = Infinity'],
    ['negative packets', { packets: -2 }, 'packets = -2'],
    ['no stream', { stream: '' }, "stream = ''"],
  ])('flow: %s', async (_what, flow, reason) => {
    const { driver, streams } = await featuresOf([flow])
    expect(streams).toEqual([])
    const letters = driver.output(`dlq.${FLOWS}`, 'DeadLetter')
    expect(letters).toHaveLength(1)
    expect(letters[0]!.reason_code).toBe('RECORD_INVALID')
    expect(reasonOf(letters)[0]).toContain(reason)
  })

  test.each<[string, Partial<RegionProbe>, string]>([
    ['a loss above 1', { loss_ratio: 1.5 }, 'loss_ratio = 1.5'],
    ['errors below 0', { error_ratio: -0.1 }, 'error_ratio = -0.1'],
    ['a negative round trip', { rtt_ms: -1 }, 'rtt_ms = -1'],
    ['no capacity', { capacity_bytes_per_second: Number.NaN }, 'capacity_bytes_per_second = NaN'],
    ['a region that the network does not have', { region: 'moon' }, "region = 'moon'"],
  ])('probe: %s', async (_what, probe, reason) => {
    const { driver, regions } = await featuresOf([], [probe])
    expect(regions).toEqual([])
    const letters = driver.output(`dlq.${PROBES}`, 'DeadLetter')
    expect(letters).toHaveLength(1)
    expect(letters[0]!.reason_code).toBe('RECORD_INVALID')
    expect(reasonOf(letters)[0]).toContain(reason)
  })

  test('a refused flow does not move time on', async () => {
    const driver = await newDriver()
    for (const p of [0, 1, 2]) {
      driver.pipe(FLOWS, p, 'Flow', flowOf())
      driver.pipe(FLOWS, p, 'Flow', flowOf({ event_time_ms: START_MS + 5000, bytes: -1 }))
    }
    await driver.run()
    expect(driver.output('features.streams', 'StreamFeature')).toEqual([])
    expect(driver.counters.deadLetters).toBe(3)
  })
})
