import { expect, inject, test } from 'vitest'
import { createCodec } from '#core/codec'
import { mulberry32 } from '#core/ports'
import { createRegistryClient } from '#infra/registry'
import type { Flow } from '#schemas'
import { createNetwork, featuresTopology, trafficConfig } from '#traffic-routing'
import { demoNetwork } from '../../jobs/demo/scenario.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { throughRestart, topologyOnKafka } from '../support/topology-on-kafka.ts'

failOnLeaks()

const WINDOW_MS = 1000
const RECORDS = 6000
const PER_WINDOW = 400
const demo = demoNetwork()
const topology = featuresTopology(
  trafficConfig({
    network: createNetwork(demo.links, demo.pairs),
    windowMs: WINDOW_MS,
    graceMs: 200,
  }),
)
const kafka = topologyOnKafka({
  topology,
  codec: createCodec(createRegistryClient({ url: inject('registryUrl') })),
  records: { 'features.streams': 'StreamFeature', 'features.regions': 'RegionFeature' },
})

function flows(): Flow[] {
  const random = mulberry32(7)
  const startMs = Date.UTC(2026, 0, 5)
  return Array.from({ length: RECORDS }, (_, i) => ({
    event_time_ms: startMs + Math.floor((i * WINDOW_MS) / PER_WINDOW) - (random.uint32() % 100),
    origin: 'test',
    stream: demo.streams[random.uint32() % demo.streams.length]?.name ?? '',
    bytes: random.uint32() % 100_000,
    packets: 1 + (random.uint32() % 50),
    protocol: 6,
    src_port: 0,
    dst_port: 443,
    flow_hash: random.uint32(),
    duration_ms: 1,
    src_addr: '10.0.0.1',
    dst_addr: '10.0.0.2',
    src_region: 'x',
    dst_region: 'y',
    sampling_rate: 1,
  }))
}

/** `stream@start records bytes` of every window, computed the plain way. */
function offline(all: readonly Flow[]): string[] {
  const windows = new Map<string, [number, number]>()
  for (const { stream, event_time_ms, bytes } of all) {
    const key = `${stream}@${Math.floor(event_time_ms / WINDOW_MS) * WINDOW_MS}`
    const [records, sum] = windows.get(key) ?? [0, 0]
    windows.set(key, [records + 1, sum + bytes])
  }
  return [...windows].map(([key, counts]) => `${key} ${counts.join(' ')}`).sort()
}

test('flows become features, and a restart in the middle with windows open changes no window', async () => {
  const all = flows()
  const { replayed } = await throughRestart(kafka, all)
  const rows = await kafka.read('features.streams', 'StreamFeature')
  expect(rows.filter((row) => row.incomplete)).toEqual([])
  const found = rows.map((row) => `${row.stream}@${row.window_start_ms} ${row.records} ${row.bytes}`)
  expect(found.sort()).toEqual(offline(all))
  expect(replayed).toBeGreaterThan(0)
  expect(replayed).toBeLessThan(PER_WINDOW * 3)
})
