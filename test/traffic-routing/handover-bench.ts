import type { RouteBody } from '#schemas'
import { createBrokerSource } from '#core/dataplane'
import { type Broker, type Decision, type DecodeDecision, ForestallError, systemClock } from '#core/ports'
import {
  createProcessor,
  forwardTo,
  type Processor,
  type ProcessorOptions,
} from '../../pipelines/traffic-routing/dataplane.ts'

export const PARTITIONS = 2
export const REGIONS = ['west', 'east', 'south']

/** The topics of one test. */
export interface Topics {
  input: string
  state: string
  decisions: string
  output: string
  acks: string
}

export const topicsOf = (prefix: string): Topics => ({
  input: `${prefix}.flows`,
  state: `${prefix}.processors`,
  decisions: `${prefix}.routes`,
  output: `${prefix}.out`,
  acks: `${prefix}.acks`,
})

export async function createTopics(broker: Broker, topics: Topics): Promise<void> {
  const admin = broker.admin()
  const compacted = { 'cleanup.policy': 'compact' }
  await admin.ensureTopics([
    { name: topics.input, partitions: PARTITIONS },
    { name: topics.output, partitions: PARTITIONS },
    { name: topics.state, partitions: 1, configs: compacted },
    { name: topics.decisions, partitions: 1, configs: compacted },
    { name: topics.acks, partitions: 1 },
  ])
  await admin.close()
}

/** A decision whose only statement is who owns the stream. */
export function owned(stream: string, owner: string, epoch: number): Decision<RouteBody> {
  return {
    decision_id: `${stream}-${epoch}`,
    subsystem: 'traffic-routing',
    entity: stream,
    epoch,
    issued_at_ms: 0,
    not_before_ms: 0,
    expires_at_ms: 1,
    mode: 'apply',
    canary_share: 1,
    replay_id: '',
    reason: { risk: 0, drivers: [], q10: 0, q50: 0, q90: 0, cost_now: 0, cost_after: 0 },
    inputs: [],
    model_version: '',
    policy_version: '',
    supersedes: null,
    body: { stream, paths: [], assignments: [], region_owner: owner },
  }
}

const decode: DecodeDecision<RouteBody> = (value) => {
  try {
    return JSON.parse(value.toString()) as Decision<RouteBody>
  } catch (cause) {
    throw new ForestallError('RECORD_UNDECODABLE', 'not JSON', { cause })
  }
}

/** A processor whose records are `stream/number` and whose decisions and acks are JSON. */
export function benchProcessor(
  broker: Broker,
  topics: Topics,
  region: string,
  over: Partial<ProcessorOptions> = {},
): Processor {
  return createProcessor({
    region,
    regions: REGIONS,
    defaultRegion: REGIONS[0] as string,
    broker,
    inputTopic: topics.input,
    stateTopic: topics.state,
    decisions: createBrokerSource(broker, topics.decisions, decode, { retryMs: 20 }),
    streamOf: ({ buffer, valueStart, valueLength }) =>
      buffer.toString('utf8', valueStart, valueStart + valueLength).split('/')[0] ?? null,
    process: forwardTo(topics.output, region),
    acks: { topic: topics.acks, encode: (ack) => Buffer.from(JSON.stringify(ack)) },
    clock: systemClock,
    commitIntervalMs: 10,
    ...over,
  })
}

/** A committed record as a reader of the topic sees it. */
export interface Seen {
  key: string
  value: string
  partition: number
  offset: number
  /** From the header that `forwardTo` sets; '' if none. */
  region: string
}

/** All committed records of a topic. */
export async function readAll(broker: Broker, topic: string, partitions: number): Promise<Seen[]> {
  const seen: Seen[] = []
  const reader = broker.readPartitions({
    partitions: Array.from({ length: partitions }, (_, partition) => ({
      topic,
      partition,
      from: 'earliest' as const,
    })),
    until: 'stable',
    onBatch(cursor) {
      while (cursor.next()) {
        const { buffer, keyStart, keyLength, valueStart, valueLength, headersStart, recordEnd } = cursor
        const headers = buffer.toString('utf8', headersStart, recordEnd)
        seen.push({
          key: keyLength < 0 ? '' : buffer.toString('utf8', keyStart, keyStart + keyLength),
          value: valueLength < 0 ? '' : buffer.toString('utf8', valueStart, valueStart + valueLength),
          partition: cursor.partition,
          offset: cursor.offset,
          region: REGIONS.find((region) => headers.endsWith(region)) ?? '',
        })
      }
    },
  })
  await reader.done
  await reader.close()
  return seen
}

/** What is wrong with the output, given what went in: missing, doubled, out of order within stream and partition. */
export function faultsOf(input: readonly string[], output: readonly Seen[]): string[] {
  const times = new Map<string, number>()
  for (const { value } of output) times.set(value, (times.get(value) ?? 0) + 1)
  const faults = input.filter((v) => times.get(v) !== 1).map((v) => `${v}: ${times.get(v) ?? 0} times`)
  const last = new Map<string, number>()
  for (const { value, partition } of output) {
    const [stream, number] = value.split('/')
    const key = `${stream}:${partition}`
    if (Number(number) <= (last.get(key) ?? -1)) faults.push(`${value}: out of order`)
    last.set(key, Number(number))
  }
  return faults
}
