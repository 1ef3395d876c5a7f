import type { Buffer } from 'node:buffer'
import { formatAddress } from '#core/codec'
import { hashFiveTuple } from '#core/math'
import { ForestallError, isError } from '#core/ports'
import type { Flow } from '#schemas'
import { type FlowFacts, invalid, undecodable } from './facts.ts'
import { createJsonReader, type JsonFieldMap } from './json.ts'
import { readProtobuf } from './protobuf.ts'
import { createRegionTable, type RegionPrefix } from './regions.ts'

/** A flow as a mapper of stream names sees it. */
interface FlowView extends Readonly<FlowFacts> {
  /** Text form; '' if not given. */
  readonly samplerText: string
  readonly sourceRegion: string
  readonly destinationRegion: string
}

/** How goflow2's messages become flows. */
export interface FlowAdapterConfig {
  /** What the topic holds. Default `auto`: told apart message by message. */
  readonly format?: 'auto' | 'protobuf' | 'json'
  /** Names that the collector's mapping.yaml gives to fields of the JSON form. */
  readonly fields?: JsonFieldMap
  /** Which addresses belong to which region; the longest prefix wins. */
  readonly regions?: readonly RegionPrefix[]
  /** Region by AS number, for addresses in no prefix. */
  readonly asRegions?: Readonly<Record<string, string>>
  /** Region by address of the exporter: where traffic enters if neither prefix nor AS tells its source. */
  readonly samplerRegions?: Readonly<Record<string, string>>
  /** Region of all other addresses, for example `internet`. Default: none. */
  readonly elsewhere?: string
  /** Event time. Default `flow_end`. Where it is 0, the other one is used, then the Kafka timestamp. */
  readonly time?: 'flow_end' | 'received'
  /** Names the stream. Default: `SRC>DST` if both regions are known, otherwise `<exporter>:<input interface>`. */
  readonly stream?: (flow: FlowView) => string
}

/** Turns goflow2 messages into flows. */
export interface FlowAdapter {
  /**
   * The flow in `value[start, end)`, or why there is none: RECORD_FORMAT_OLD (goflow2 v1, raw flows of Akvorado),
   * RECORD_UNDECODABLE, RECORD_INVALID or RECORD_TIME_INVALID. Never throws.
   */
  convert(value: Buffer, start: number, end: number, kafkaTimestampMs: number): Flow | ForestallError
}

const NS_PER_MS = 1_000_000n
const MAX_INT = 2 ** 31 - 1
const OPENING_BRACE = 0x7b

/** The region of either end of a flow. */
type Regions = (facts: FlowFacts, samplerText: string) => { sourceRegion: string; destinationRegion: string }

/** Makes an adapter. Throws CONFIG_INVALID for a prefix that is none. */
export function createFlowAdapter(config: FlowAdapterConfig = {}): FlowAdapter {
  const { format = 'auto', fields = {}, time = 'flow_end', stream = defaultStream } = config
  const regionsOf = createRegions(config)
  const readJson = createJsonReader(fields)

  function read(value: Buffer, start: number, end: number): FlowFacts | ForestallError {
    if (end <= start) return undecodable('The message is empty.')
    if (format === 'protobuf') return readProtobuf(value, start, end)
    if (format === 'json') return readJson(value.toString('utf8', start, end))
    const facts = readProtobuf(value, start, end)
    // A length of 123 also begins with an opening brace: JSON is only what cannot be protobuf.
    if (value[start] !== OPENING_BRACE || !(facts instanceof ForestallError)) return facts
    const json = readJson(value.toString('utf8', start, end))
    return isError(json, 'RECORD_UNDECODABLE') && facts.code !== 'RECORD_UNDECODABLE' ? facts : json
  }

  return {
    convert(value, start, end, kafkaTimestampMs) {
      const facts = read(value, start, end)
      if (facts instanceof ForestallError) return facts
      const eventTimeMs = eventTime(facts, time, kafkaTimestampMs)
      const refusal = refuse(facts, eventTimeMs)
      if (refusal !== null) return refusal
      const samplerText = formatAddress(facts.sampler)
      const view: FlowView = { ...facts, samplerText, ...regionsOf(facts, samplerText) }
      const name = stream(view)
      return name === '' ? invalid('The mapper gives the flow no stream.') : toFlow(view, name, eventTimeMs)
    },
  }
}

function createRegions(config: FlowAdapterConfig): Regions {
  const { asRegions = {}, samplerRegions = {}, elsewhere = '' } = config
  const table = createRegionTable(config.regions ?? [])
  const known = (address: Buffer, asNumber: number): string => table(address) || (asRegions[asNumber] ?? '')
  return (facts, samplerText) => ({
    sourceRegion: known(facts.source, facts.sourceAs) || (samplerRegions[samplerText] ?? elsewhere),
    destinationRegion: known(facts.destination, facts.destinationAs) || elsewhere,
  })
}

const defaultStream = (flow: FlowView): string =>
  flow.sourceRegion !== '' && flow.destinationRegion !== ''
    ? `${flow.sourceRegion}>${flow.destinationRegion}`
    : `${flow.samplerText}:${flow.inInterface}`

function eventTime(facts: FlowFacts, time: 'flow_end' | 'received', kafkaTimestampMs: number): number {
  const [first, second] =
    time === 'received' ? [facts.receivedNs, facts.endNs] : [facts.endNs, facts.receivedNs]
  const ns = first === 0n ? second : first
  return ns === 0n ? kafkaTimestampMs : Number(ns / NS_PER_MS)
}

/** Why the facts cannot be a flow; null if they can. */
function refuse(facts: FlowFacts, eventTimeMs: number): ForestallError | null {
  if (eventTimeMs <= 0) {
    return new ForestallError('RECORD_TIME_INVALID', 'The message and its Kafka record have no time.')
  }
  if (facts.samplingRate > MAX_INT)
    return invalid(`sampling_rate is ${facts.samplingRate}, more than ${MAX_INT}.`)
  if (facts.protocol > 255) return invalid(`proto is ${facts.protocol}, more than 255.`)
  const port = Math.max(facts.sourcePort, facts.destinationPort)
  return port > 65_535 ? invalid(`A port is ${port}, more than 65535.`) : null
}

function toFlow(flow: FlowView, stream: string, eventTimeMs: number): Flow {
  // A rate of 0 means that the exporter did not say: what was counted is the best there is.
  const factor = flow.samplingRate === 0 ? 1 : flow.samplingRate
  const duration = flow.startNs === 0n ? 0 : Number((flow.endNs - flow.startNs) / NS_PER_MS)
  return {
    event_time_ms: eventTimeMs,
    origin: flow.samplerText,
    stream,
    bytes: flow.bytes * factor,
    packets: flow.packets * factor,
    protocol: flow.protocol,
    src_port: flow.sourcePort,
    dst_port: flow.destinationPort,
    flow_hash: hashFiveTuple(
      flow.source,
      flow.destination,
      flow.sourcePort,
      flow.destinationPort,
      flow.protocol,
    ),
    duration_ms: Math.min(Math.max(duration, 0), MAX_INT),
    src_addr: formatAddress(flow.source),
    dst_addr: formatAddress(flow.destination),
    src_region: flow.sourceRegion,
    dst_region: flow.destinationRegion,
    sampling_rate: flow.samplingRate,
  }
}
