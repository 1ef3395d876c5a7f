import type { Flow, RegionProbe } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { type Broker, type ErrorCode, type Producer, type Random, partitionKey } from '#core/ports'
import { END_OF_INPUT_MS, markHeaders } from '#core/runtime'
import { createTruth, isSelfPair, mergeTopic, type Truth } from './truth.ts'

/** Input topics, without prefix. */
export const FLOWS_TOPIC = 'telemetry.flows'
/** Where probes of regions go. */
export const PROBES_TOPIC = 'telemetry.regions'

/** Writes telemetry and keeps account of what Kafka has acknowledged. */
export interface TelemetryWriter {
  readonly truth: Truth
  /** Bytes written and not yet acknowledged. */
  readonly pendingBytes: number
  flow(flow: Flow, partition: number, timestampMs: number): void
  probe(probe: RegionProbe, timestampMs: number): void
  /** A record that must become a dead letter. */
  badFlow(value: Buffer, code: ErrorCode, timestampMs: number): void
  badProbe(value: Buffer, code: ErrorCode, timestampMs: number): void
  readonly encodeFlow: (flow: Flow) => Buffer
  /** A partition of the flows, at random. */
  anyPartition(): number
  readonly flowPartitions: number
  /** Waits until everything is acknowledged; only then does it count. On failure it counts as unknown, and the error is thrown. */
  flush(): Promise<void>
  /** Tells every partition of both topics that no more will come, so that open windows are flushed. */
  endMarks(timestampMs: number): Promise<void>
  close(): Promise<void>
}

/** Settings of a writer. */
export interface TelemetryWriterOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly random: Random
  readonly truth: Truth
  readonly topicPrefix: string
}

/** A writer; the topics must exist. */
export async function createTelemetryWriter(options: TelemetryWriterOptions): Promise<TelemetryWriter> {
  const { broker, codec, random, truth, topicPrefix } = options
  const flowsTopic = `${topicPrefix}${FLOWS_TOPIC}`
  const probesTopic = `${topicPrefix}${PROBES_TOPIC}`
  await codec.prepare([
    { topic: FLOWS_TOPIC, record: 'Flow' },
    { topic: PROBES_TOPIC, record: 'RegionProbe' },
  ])
  const admin = broker.admin()
  const counts = await admin.partitions([flowsTopic, probesTopic])
  await admin.close()
  const flowPartitions = partitionsOf(counts, flowsTopic)
  const probePartitions = partitionsOf(counts, probesTopic)
  const producer: Producer = broker.producer()
  const newPending = (): Truth => createTruth(truth.streams.windowMs, truth.regions.windowMs)
  let pending = newPending()
  const encodeFlow = (flow: Flow): Buffer => codec.encode(FLOWS_TOPIC, 'Flow', flow)
  const pick = (partitions: number): number => random.uint32() % partitions

  function bad(where: 'flows' | 'probes', code: ErrorCode): void {
    const topic = pending[where]
    topic.records++
    topic.bad[code] = (topic.bad[code] ?? 0) + 1
  }

  function settle(done: Truth): void {
    truth.streams.merge(done.streams)
    truth.regions.merge(done.regions)
    mergeTopic(truth.flows, done.flows)
    mergeTopic(truth.probes, done.probes)
  }

  async function flush(): Promise<void> {
    const sent = pending
    pending = newPending()
    try {
      await producer.flush()
      settle(sent)
    } catch (error) {
      truth.flows.unknown += sent.flows.records
      truth.probes.unknown += sent.probes.records
      throw error
    }
  }

  return {
    truth,
    flowPartitions,
    get pendingBytes() {
      return producer.pendingBytes
    },
    flow(flow, partition, timestampMs) {
      producer.add(flowsTopic, partition, timestampMs, null, encodeFlow(flow))
      pending.flows.records++
      if (isSelfPair(flow.stream)) pending.flows.skipped++
      else {
        const { streams } = pending
        streams.add(streams.keyId(flow.stream), flow.event_time_ms, 1, flow.bytes)
      }
    },
    probe(probe, timestampMs) {
      const value = codec.encode(PROBES_TOPIC, 'RegionProbe', probe)
      producer.add(probesTopic, pick(probePartitions), timestampMs, null, value)
      pending.probes.records++
      const { regions } = pending
      regions.add(regions.keyId(probe.region), probe.event_time_ms, 1, 0)
    },
    badFlow(value, code, timestampMs) {
      producer.add(flowsTopic, pick(flowPartitions), timestampMs, null, value)
      bad('flows', code)
    },
    badProbe(value, code, timestampMs) {
      producer.add(probesTopic, pick(probePartitions), timestampMs, null, value)
      bad('probes', code)
    },
    encodeFlow,
    anyPartition: () => pick(flowPartitions),
    flush,
    async endMarks(timestampMs) {
      const headers = markHeaders({ origin: 'end', watermarkMs: END_OF_INPUT_MS, idle: false })
      for (const [topic, partitions] of counts) {
        for (let p = 0; p < partitions; p++) producer.add(topic, p, timestampMs, null, null, headers)
      }
      await flush()
    },
    close: () => producer.close(),
  }
}

function partitionsOf(counts: ReadonlyMap<string, number>, topic: string): number {
  const count = counts.get(topic)
  if (count === undefined) throw new RangeError(`Topic ${partitionKey(topic, 0)} does not exist.`)
  return count
}
