import { Buffer } from 'node:buffer'
import { parseAddress } from '#core/codec'
import { ForestallError } from '#core/ports'
import { emptyFacts, type FlowFacts, invalid, oldFormat, undecodable } from './facts.ts'
import { protocolNumber } from './protocols.ts'

/** The fields read from JSON, by goflow2's name. */
const JSON_FIELDS = [
  'time_received_ns',
  'time_flow_start_ns',
  'time_flow_end_ns',
  'bytes',
  'packets',
  'sampling_rate',
  'sampler_address',
  'src_addr',
  'dst_addr',
  'proto',
  'src_port',
  'dst_port',
  'in_if',
  'out_if',
  'src_as',
  'dst_as',
] as const

/** A field of the JSON form. */
type JsonField = (typeof JSON_FIELDS)[number]

/** What the mapping.yaml of the collector calls a field, where it renames it. */
export type JsonFieldMap = Partial<Record<JsonField, string>>

type JsonObject = Record<string, unknown>

// 2^64 itself: what JSON.parse makes of the largest unsigned integer.
const MAX_UINT64 = 2n ** 64n
const NS_PER_MS = 1_000_000n

/** Reads one message: its facts, or why there are none. */
export type JsonReader = (text: string) => FlowFacts | ForestallError

/**
 * A reader of goflow2's v2 JSON. Numbers may be text, protocols names, times nanoseconds or ISO 8601.
 * It returns an error for other bytes, for v1 messages (CamelCase) and for values that cannot be.
 */
export function createJsonReader(fields: JsonFieldMap): JsonReader {
  const exact = createExactIntegers()
  return (text) => {
    const object = parseObject(text)
    if (object instanceof ForestallError) return object
    const at = (field: JsonField): unknown => {
      const key = fields[field] ?? field
      const value = object[key]
      const rounded = typeof value === 'number' && !Number.isSafeInteger(value)
      return rounded && field.startsWith('time_') ? exact(text, key, value) : value
    }
    if (at('time_received_ns') === undefined && at('time_flow_end_ns') === undefined)
      return withoutTime(object)
    try {
      return factsOf(at)
    } catch (e) {
      if (e instanceof ForestallError) return e
      throw e
    }
  }
}

/**
 * Finds the digits of an integer that JSON.parse has rounded. They must round to the same double, so that
 * digits elsewhere in the text are not taken for it. (A reviver sees the digits too, but slows down every field.)
 */
function createExactIntegers(): (text: string, key: string, rounded: number) => unknown {
  const patterns = new Map<string, RegExp>()
  return (text, key, rounded) => {
    let pattern = patterns.get(key)
    if (pattern === undefined) {
      const name = JSON.stringify(key).replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`)
      pattern = new RegExp(String.raw`${name}\s*:\s*(\d+)`, 'g')
      patterns.set(key, pattern)
    }
    for (const [, digits] of text.matchAll(pattern)) if (Number(digits) === rounded) return digits
    return rounded
  }
}

function parseObject(text: string): JsonObject | ForestallError {
  let message: unknown
  try {
    message = JSON.parse(text)
  } catch (cause) {
    return new ForestallError('RECORD_UNDECODABLE', 'The message is neither JSON nor protobuf.', { cause })
  }
  if (typeof message !== 'object' || message === null || Array.isArray(message)) {
    return undecodable('The message is JSON, but no object.')
  }
  return message as JsonObject
}

function withoutTime(object: JsonObject): ForestallError {
  const v1 = ['TimeReceived', 'TimeFlowStart', 'TimeFlowEnd'].find((key) => key in object)
  return v1 === undefined
    ? invalid(
        'The message has neither time_received_ns nor time_flow_end_ns; has the collector renamed them?',
      )
    : oldFormat(`field ${v1}`)
}

function factsOf(at: (field: JsonField) => unknown): FlowFacts {
  const number = (field: JsonField): number => {
    const value = at(field) ?? 0
    return typeof value === 'number' && value >= 0 && Number.isSafeInteger(value)
      ? value
      : Number(unsigned(field, value))
  }
  const required = (field: JsonField): number => {
    if (at(field) === undefined) throw invalid(`The message has no ${field}; has the collector renamed it?`)
    return number(field)
  }
  return {
    ...emptyFacts(),
    receivedNs: nanoseconds('time_received_ns', at('time_received_ns') ?? 0),
    startNs: nanoseconds('time_flow_start_ns', at('time_flow_start_ns') ?? 0),
    endNs: nanoseconds('time_flow_end_ns', at('time_flow_end_ns') ?? 0),
    bytes: required('bytes'),
    packets: required('packets'),
    samplingRate: number('sampling_rate'),
    sampler: address('sampler_address', at('sampler_address')),
    source: address('src_addr', at('src_addr')),
    destination: address('dst_addr', at('dst_addr')),
    protocol: protocol(at('proto') ?? 0),
    sourcePort: number('src_port'),
    destinationPort: number('dst_port'),
    inInterface: number('in_if'),
    outInterface: number('out_if'),
    sourceAs: number('src_as'),
    destinationAs: number('dst_as'),
  }
}

function unsigned(field: JsonField, value: unknown): bigint {
  const integer = typeof value === 'number' ? Number.isInteger(value) : /^\d{1,20}$/.test(String(value))
  const parsed = integer ? BigInt(value as number | string) : -1n
  if (parsed < 0n || parsed > MAX_UINT64)
    throw invalid(`${field} is ${JSON.stringify(value)}, not an unsigned integer.`)
  return parsed
}

function nanoseconds(field: JsonField, value: unknown): bigint {
  if (typeof value !== 'string' || !value.includes('T')) return unsigned(field, value)
  const ms = Date.parse(value)
  if (Number.isNaN(ms)) throw invalid(`${field} is ${JSON.stringify(value)}, not a time.`)
  return BigInt(ms) * NS_PER_MS
}

function protocol(value: unknown): number {
  return typeof value === 'string' && !/^\d+$/.test(value)
    ? protocolNumber(value)
    : Number(unsigned('proto', value))
}

function address(field: JsonField, value: unknown): Buffer {
  if (value === undefined || value === null || value === '') return Buffer.alloc(0)
  const bytes = typeof value === 'string' ? parseAddress(value) : null
  if (bytes === null) throw invalid(`${field} is ${JSON.stringify(value)}, not an IP address.`)
  return bytes
}
