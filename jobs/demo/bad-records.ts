import { Buffer } from 'node:buffer'
import type { Flow } from '#schemas'
import type { ErrorCode } from '#core/ports'

/** A record that no topology may count. */
export interface BadRecord {
  readonly code: ErrorCode
  readonly value: Buffer
}

/** Encodes a flow for its topic (Confluent wire format). */
export type EncodeFlow = (flow: Flow) => Buffer

/** An id that no registry has given out. */
const UNKNOWN_SCHEMA = 0x7ffffff0
const YEAR_MS = 365 * 86_400_000

type Spoil = (flow: Flow, encode: EncodeFlow) => BadRecord

const KINDS: readonly Spoil[] = [
  () => ({ code: 'RECORD_UNDECODABLE', value: Buffer.from('this is no Avro') }),
  (flow, encode) => ({ code: 'RECORD_INVALID', value: encode({ ...flow, bytes: Number.NaN }) }),
  (flow, encode) => ({
    code: 'RECORD_TIME_INVALID',
    value: encode({ ...flow, event_time_ms: flow.event_time_ms + YEAR_MS }),
  }),
  (flow, encode) => {
    const value = encode(flow)
    return { code: 'RECORD_UNDECODABLE', value: value.subarray(0, value.length >> 1) }
  },
  (flow, encode) => ({ code: 'RECORD_TIME_INVALID', value: encode({ ...flow, event_time_ms: 0 }) }),
  (flow, encode) => {
    const value = Buffer.from(encode(flow))
    value.writeUInt32BE(UNKNOWN_SCHEMA, 1)
    return { code: 'RECORD_SCHEMA_UNKNOWN', value }
  },
]

/** The n-th bad record, one kind after another: no Avro, NaN, a year ahead, cut off, 1970, unknown schema. */
export function badRecord(n: number, flow: Flow, encode: EncodeFlow): BadRecord {
  const spoil = KINDS[n % KINDS.length] as Spoil
  return spoil(flow, encode)
}
