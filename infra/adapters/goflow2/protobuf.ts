import type { Buffer } from 'node:buffer'
import { unmap } from '#core/codec'
import type { ForestallError } from '#core/ports'
import { akvoradoRaw, emptyFacts, type FlowFacts, invalid, oldFormat, undecodable } from './facts.ts'
import { type VarintReader, varintReader } from './varint.ts'

type NumberField = {
  [K in keyof FlowFacts]: FlowFacts[K] extends number ? K : never
}[keyof FlowFacts]
type TimeField = 'receivedNs' | 'startNs' | 'endNs'
type AddressField = 'sampler' | 'source' | 'destination'

/** Field numbers of flowpb.FlowMessage, goflow2 v2 (pb/flow.proto). */
const NUMBERS = new Map<number, NumberField>([
  [3, 'samplingRate'],
  [9, 'bytes'],
  [10, 'packets'],
  [14, 'sourceAs'],
  [15, 'destinationAs'],
  [18, 'inInterface'],
  [19, 'outInterface'],
  [20, 'protocol'],
  [21, 'sourcePort'],
  [22, 'destinationPort'],
])
const TIMES = new Map<number, TimeField>([
  [110, 'receivedNs'],
  [111, 'startNs'],
  [112, 'endNs'],
])
const ADDRESSES = new Map<number, AddressField>([
  [6, 'source'],
  [7, 'destination'],
  [11, 'sampler'],
])
/** Times of v1: received 2, end 5, start 38 (which v2 uses for ip_flags), in ms 63 and 64. */
const V1_TIMES = new Set([2, 5, 38, 63, 64])

const VARINT = 0
const FIXED64 = 1
const LENGTH = 2
const FIXED32 = 5

/** What was seen on the way, besides the facts. */
interface Signs {
  v1Time: boolean
  v2Time: boolean
  /** Akvorado's raw flows carry the datagram as field 2, which v2 does not have and v1 has as a number. */
  payload: boolean
  wrongType: number
}

/**
 * Reads the FlowMessage in `buffer[start, end)`, which may carry its length in front. Fields it does not
 * need are stepped over. Returns an error for other bytes, for v1 messages and for Akvorado's raw flows.
 */
export function readProtobuf(buffer: Buffer, start: number, end: number): FlowFacts | ForestallError {
  const prefix = varintReader(start)
  const prefixed = prefix.read(buffer, end) && prefix.number() === end - prefix.at && prefix.at < end
  // The first byte of a message without length could be its length by chance: only a body that can be read counts.
  const delimited = prefixed ? readMessage(buffer, prefix.at, end) : null
  if (delimited !== null && !('code' in delimited && delimited.code === 'RECORD_UNDECODABLE'))
    return delimited
  return readMessage(buffer, start, end)
}

function readMessage(buffer: Buffer, start: number, end: number): FlowFacts | ForestallError {
  const facts = emptyFacts()
  const signs: Signs = { v1Time: false, v2Time: false, payload: false, wrongType: 0 }
  const at = varintReader(start)
  while (at.at < end) {
    const from = at.at
    if (!readField(buffer, end, at, facts, signs)) {
      return undecodable(`The protobuf message breaks off or is malformed at byte ${from - start}.`)
    }
  }
  return judge(facts, signs)
}

function judge(facts: FlowFacts, signs: Signs): FlowFacts | ForestallError {
  if (signs.payload) return akvoradoRaw()
  if (signs.wrongType !== 0)
    return undecodable(`Field ${signs.wrongType} is not of the type goflow2 gives it.`)
  if (signs.v2Time) return facts
  if (signs.v1Time) return oldFormat('times in the fields of v1, none in 110 to 112')
  return invalid(
    'The message has no time: time_received_ns, time_flow_start_ns and time_flow_end_ns are missing.',
  )
}

function readField(buffer: Buffer, end: number, at: VarintReader, facts: FlowFacts, signs: Signs): boolean {
  if (!at.read(buffer, end)) return false
  const tag = at.number()
  const field = Math.floor(tag / 8)
  if (field === 0) return false
  switch (tag % 8) {
    case VARINT:
      if (!at.read(buffer, end)) return false
      takeNumber(field, at, facts, signs)
      return true
    case LENGTH: {
      if (!at.read(buffer, end) || at.number() > end - at.at) return false
      const from = at.at
      at.at += at.number()
      takeBytes(field, buffer.subarray(from, at.at), facts, signs)
      return true
    }
    case FIXED64:
      at.at += 8
      return at.at <= end
    case FIXED32:
      at.at += 4
      return at.at <= end
    default:
      return false
  }
}

function takeNumber(field: number, value: VarintReader, facts: FlowFacts, signs: Signs): void {
  const number = NUMBERS.get(field)
  const time = TIMES.get(field)
  if (number !== undefined) facts[number] = value.number()
  else if (time !== undefined) {
    facts[time] = value.bigint()
    signs.v2Time = true
  } else if (V1_TIMES.has(field)) signs.v1Time = true
  else if (ADDRESSES.has(field)) signs.wrongType = field
}

function takeBytes(field: number, bytes: Buffer, facts: FlowFacts, signs: Signs): void {
  const address = ADDRESSES.get(field)
  if (field === 2) signs.payload = true
  else if (address !== undefined) facts[address] = unmap(bytes)
  else if (NUMBERS.has(field) || TIMES.has(field)) signs.wrongType = field
}
