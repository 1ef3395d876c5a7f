import { Buffer } from 'node:buffer'
import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createFlowAdapter, type FlowAdapterConfig } from '../../../../infra/adapters/index.ts'
import { ForestallError } from '../../../../pipelines/core/ports/index.ts'
import type { Flow } from '../../../../schemas/index.ts'
import { address, message, varint } from './messages.ts'

interface Recorded {
  netflow5_protobuf_hex: string[]
  netflow5_json: string[]
  netflow5_unsampled_protobuf_hex: string[]
  ipfix_protobuf_hex: string[]
  ipfix_json: string[]
}
const recorded = JSON.parse(
  readFileSync(new URL('../../../fixtures/goflow2/recorded.json', import.meta.url), 'utf8'),
) as Recorded
const hex = (text: string | undefined): Buffer => Buffer.from(text ?? '', 'hex')

const KAFKA_MS = 1_790_000_000_000
/** Converts the value lying in the midst of other bytes. */
function convert(value: Buffer | string, config?: FlowAdapterConfig): Flow | ForestallError {
  const bytes = Buffer.from(value as string)
  const buffer = Buffer.concat([Buffer.from('{{{'), bytes, Buffer.from('}}}')])
  return createFlowAdapter(config).convert(buffer, 3, 3 + bytes.length, KAFKA_MS)
}
const flow = (value: Buffer | string, config?: FlowAdapterConfig): Flow => {
  const converted = convert(value, config)
  if (converted instanceof ForestallError) throw converted
  return converted
}
const refusal = (value: Buffer | string, config?: FlowAdapterConfig): string => {
  const converted = convert(value, config)
  return converted instanceof ForestallError ? `${converted.code}: ${converted.message}` : 'accepted'
}
/** Without what differs from recording to recording: times. */
const untimed = (timed: Flow): Flow => ({ ...timed, event_time_ms: 0 })

/** What the sender of the recordings put into its four flows, times the sampling rate of 100. */
const SENT = [
  {
    src_addr: '10.1.2.3',
    dst_addr: '192.0.2.10',
    src_port: 51_234,
    dst_port: 443,
    protocol: 6,
    bytes: 15e6,
    packets: 12e3,
    stream: '127.0.0.1:3',
  },
  {
    src_addr: '10.1.2.4',
    dst_addr: '198.51.100.7',
    src_port: 5353,
    dst_port: 53,
    protocol: 17,
    bytes: 8400,
    packets: 100,
    stream: '127.0.0.1:3',
  },
  {
    src_addr: '10.2.0.9',
    dst_addr: '203.0.113.1',
    src_port: 0,
    dst_port: 0,
    protocol: 1,
    bytes: 151_200,
    packets: 1800,
    stream: '127.0.0.1:4',
  },
  {
    src_addr: '172.16.5.6',
    dst_addr: '10.1.2.3',
    src_port: 4000,
    dst_port: 40_000,
    protocol: 132,
    bytes: 429_496_729_500,
    packets: 429_496_700,
    stream: '127.0.0.1:5',
  },
]

describe('messages recorded from goflow2 2.2.6', () => {
  it('reads NetFlow v5 as protobuf, with the sampling rate applied', () => {
    const flows = recorded.netflow5_protobuf_hex.map((m) => flow(hex(m)))
    expect(flows).toMatchObject(SENT)
    expect(flows).toMatchObject(
      SENT.map(() => ({ sampling_rate: 100, duration_ms: 59_000, origin: '127.0.0.1' })),
    )
    // The sender said: ended one second before it sent, at 2026-11-21T11:52:29 and a fraction.
    expect(new Date(flows[0]?.event_time_ms ?? 0).toISOString()).toMatch(/^2026-11-21T11:52:2[78]\./)
  })

  it('reads the same from JSON, to the millisecond and to the hash', () => {
    const flows = recorded.netflow5_json.map((m) => flow(m))
    expect(flows.map(untimed)).toEqual(recorded.netflow5_protobuf_hex.map((m) => untimed(flow(hex(m)))))
    const endNs = /"time_flow_end_ns":(\d+)/.exec(recorded.netflow5_json[0] ?? '')?.[1] ?? ''
    expect(flows[0]?.event_time_ms).toBe(Number(endNs.slice(0, -6)))
  })

  it('keeps a sampling rate of 0 and multiplies by 1', () => {
    const flows = recorded.netflow5_unsampled_protobuf_hex.map((m) => flow(hex(m)))
    expect(flows).toMatchObject(
      SENT.map(({ bytes, packets }) => ({ bytes: bytes / 100, packets: packets / 100, sampling_rate: 0 })),
    )
  })

  it('reads IPFIX with IPv6 addresses from both forms', () => {
    const binary = flow(hex(recorded.ipfix_protobuf_hex[0]))
    expect(binary).toMatchObject({
      src_addr: '2001:db8:1::5',
      dst_addr: '2001:db8:2::9',
      protocol: 17,
      src_port: 443,
      dst_port: 50_123,
      bytes: 123_456_789_012,
      packets: 98_765_432,
      stream: '127.0.0.1:11',
    })
    expect(untimed(flow(recorded.ipfix_json[0] ?? ''))).toEqual(untimed(binary))
  })

  it('reads protobuf without its length in front', () => {
    for (const m of recorded.netflow5_protobuf_hex) expect(flow(hex(m).subarray(1))).toEqual(flow(hex(m)))
  })

  it('tells every cut', () => {
    const whole = hex(recorded.netflow5_protobuf_hex[0])
    const cuts = Array.from({ length: whole.length - 1 }, (_, n) => refusal(whole.subarray(0, n + 1)))
    expect(cuts.filter((r) => r === 'accepted')).toEqual([])
    const trailing = refusal(Buffer.concat([whole, Buffer.from([7])]))
    expect(trailing).toContain('RECORD_UNDECODABLE')
  })
})

describe('protobuf', () => {
  const base = { 110: 1_790_000_000_123_456_789n, 9: 1000n, 10: 2n }

  it('tells a message of 123 bytes from JSON, though its length is an opening brace', () => {
    const padding = 123 - message(base).length - 2
    const body = Buffer.concat([message(base), message({ 1000: Buffer.alloc(padding - 1) })])
    expect(body.length).toBe(123)
    expect(flow(Buffer.concat([varint(123n), body]))).toMatchObject({ bytes: 1000 })
  })

  it('takes the time of receipt where the flow has no end, and the Kafka timestamp where it has neither', () => {
    expect(flow(message(base)).event_time_ms).toBe(1_790_000_000_123)
    const both = { ...base, 112: 1_789_999_999_000_999_999n }
    expect(flow(message(both)).event_time_ms).toBe(1_789_999_999_000)
    expect(flow(message(both), { time: 'received' }).event_time_ms).toBe(1_790_000_000_123)
    expect(flow(message({ ...base, 110: 0n })).event_time_ms).toBe(KAFKA_MS)
  })

  it('ignores fields it does not know, of any kind', () => {
    const unknown = { 42: 1n, 101: Buffer.from([1, 2, 3]), 999: 7n, 1000: Buffer.from('text') }
    expect(flow(message({ ...base, ...unknown }))).toEqual(flow(message(base)))
    const fixed = Buffer.concat([
      varint(BigInt(2000 * 8 + 1)),
      Buffer.alloc(8),
      varint(BigInt(2001 * 8 + 5)),
      Buffer.alloc(4),
    ])
    expect(flow(Buffer.concat([message(base), fixed]))).toEqual(flow(message(base)))
  })

  it('refuses goflow2 v1 and the raw flows of Akvorado in one sentence', () => {
    const v1 = message({
      1: 4n,
      2: 1_600_000_000n,
      38: 1_600_000_000n,
      5: 1_600_000_001n,
      9: 10n,
      10: 1n,
      6: address('10.0.0.1'),
    })
    expect(refusal(v1)).toBe(
      'RECORD_FORMAT_OLD: This is a goflow2 v1 message (times in the fields of v1, none in 110 to 112); version 2 is needed.',
    )
    expect(refusal(Buffer.concat([varint(BigInt(v1.length)), v1]))).toContain('RECORD_FORMAT_OLD')
    const raw = message({ 1: 1_790_000_000n, 2: Buffer.from('datagram'), 3: address('10.0.0.1'), 5: 1n })
    expect(refusal(raw)).toBe(
      'RECORD_FORMAT_OLD: This is a raw flow of Akvorado, which holds an undecoded datagram.',
    )
  })

  it('refuses what cannot be, by field and value', () => {
    expect(refusal(message({ ...base, 21: 70_000n }))).toBe(
      'RECORD_INVALID: A port is 70000, more than 65535.',
    )
    expect(refusal(message({ ...base, 20: 300n }))).toBe('RECORD_INVALID: proto is 300, more than 255.')
    expect(refusal(message({ ...base, 3: 2n ** 40n }))).toContain('sampling_rate is 1099511627776')
    expect(refusal(message({ 9: 1n }))).toContain('RECORD_INVALID: The message has no time')
    expect(refusal(message({ ...base, 6: 5n }))).toContain('Field 6 is not of the type')
    expect(refusal(Buffer.alloc(0))).toContain('empty')
  })

  it('never throws on arbitrary bytes', () => {
    const adapter = createFlowAdapter()
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        const value = Buffer.from(bytes)
        expect(adapter.convert(value, 0, value.length, KAFKA_MS)).toBeDefined()
      }),
      { numRuns: 2000 },
    )
  })
})

describe('JSON', () => {
  const base = { time_received_ns: '1790000000123456789', bytes: '1000', packets: 2 }
  const json = (fields: object): string => JSON.stringify({ ...base, ...fields })

  it('accepts numbers as text, names, ISO times and absent fields', () => {
    expect(flow(json({ proto: 6 }))).toMatchObject({
      protocol: 6,
      bytes: 1000,
      event_time_ms: 1_790_000_000_123,
    })
    expect(flow(json({ proto: 'udp', sampling_rate: '10' }))).toMatchObject({ protocol: 17, bytes: 10_000 })
    expect(flow(json({ proto: 'unassigned' })).protocol).toBe(0)
    expect(flow(json({ time_received_ns: '2026-11-21T11:52:29.640023209Z' })).event_time_ms).toBe(
      Date.UTC(2026, 10, 21, 11, 52, 29, 640),
    )
  })

  it('never takes nanoseconds through a double', () => {
    // As a double it is rounded up into the next millisecond.
    const text = '{"time_received_ns":1795261755639999999,"bytes":1,"packets":1}'
    expect(Math.floor(Number('1795261755639999999') / 1e6)).toBe(1_795_261_755_640)
    expect(flow(text).event_time_ms).toBe(1_795_261_755_639)
    const decoys = `{"note":"\\"time_received_ns\\":7","x":{"time_received_ns":1},${text.slice(1)}`
    expect(flow(decoys).event_time_ms).toBe(1_795_261_755_639)
    expect(flow(text.replace(':1,', ':18446744073709551615,')).bytes).toBe(2 ** 64)
  })

  it('reads renamed fields', () => {
    const renamed = '{"ts":1790000000123456789,"octets":5,"packets":1}'
    expect(refusal(renamed)).toContain('has the collector renamed them?')
    const fields = { time_received_ns: 'ts', bytes: 'octets' }
    expect(flow(renamed, { fields })).toMatchObject({ bytes: 5, event_time_ms: 1_790_000_000_123 })
  })

  it('refuses goflow2 v1', () => {
    const v1 =
      '{"Type":"SFLOW_5","TimeReceived":1600000000,"SequenceNum":1,"SamplingRate":1,"Bytes":10,"SrcAddr":"10.0.0.1"}'
    expect(refusal(v1)).toBe(
      'RECORD_FORMAT_OLD: This is a goflow2 v1 message (field TimeReceived); version 2 is needed.',
    )
  })

  it('refuses what cannot be, by field and value', () => {
    expect(refusal(json({ bytes: -5 }))).toBe('RECORD_INVALID: bytes is -5, not an unsigned integer.')
    expect(refusal(json({ bytes: 1.5 }))).toContain('bytes is 1.5')
    expect(refusal(json({ packets: undefined }))).toContain('no packets')
    expect(refusal(json({ src_addr: '10.0.0' }))).toContain('src_addr is "10.0.0", not an IP address')
    expect(refusal(json({ time_received_ns: 'Today' }))).toContain('time_received_ns is "Today"')
    expect(refusal('{"bytes":')).toContain('RECORD_UNDECODABLE')
    expect(refusal('[1]', { format: 'json' })).toContain('no object')
  })
})

describe('streams and regions', () => {
  const value = message({
    110: 1n * 10n ** 18n,
    9: 1n,
    10: 1n,
    6: address('10.1.2.3'),
    7: address('192.0.2.10'),
    11: address('10.0.0.1'),
    14: 65_001n,
    18: 3n,
  })
  const regions = [
    { prefix: '10.0.0.0/8', region: 'core' },
    { prefix: '10.1.0.0/17', region: 'edge' },
    { prefix: '2001:db8::/33', region: 'six' },
  ]

  it('takes the longest prefix, then the AS, then the exporter, then elsewhere', () => {
    const streamOf = (config: FlowAdapterConfig) => flow(value, config).stream
    expect(streamOf({ regions })).toBe('10.0.0.1:3')
    expect(streamOf({ regions, elsewhere: 'net' })).toBe('edge>net')
    expect(streamOf({ regions: regions.slice(0, 1), elsewhere: 'net' })).toBe('core>net')
    expect(streamOf({ asRegions: { 65001: 'as' }, elsewhere: 'net' })).toBe('as>net')
    expect(streamOf({ samplerRegions: { '10.0.0.1': 'pop' }, elsewhere: 'net' })).toBe('pop>net')
    expect(flow(value, { regions })).toMatchObject({ src_region: 'edge', dst_region: '' })
    expect(streamOf({ stream: (f) => `as${f.sourceAs}` })).toBe('as65001')
    expect(refusal(value, { stream: () => '' })).toContain('no stream')
  })

  it('cuts prefixes inside a byte, and keeps IPv4 and IPv6 apart', () => {
    const at = (src: string) => {
      const m = message({ 110: 10n ** 18n, 9: 1n, 10: 1n, 6: address(src) })
      return flow(m, { regions: [...regions, { prefix: '0.0.0.0/0', region: 'v4' }] }).src_region
    }
    expect(
      ['10.1.127.255', '10.1.128.0', '11.0.0.1', '2001:db8:7fff::', '2001:db8:8000::', '::ffff:10.1.0.1'].map(
        at,
      ),
    ).toEqual(['edge', 'core', 'v4', 'six', '', 'edge'])
  })

  it('refuses wrong tables', () => {
    const table =
      (...prefixes: string[]) =>
      () =>
        createFlowAdapter({ regions: prefixes.map((prefix) => ({ prefix, region: 'r' })) })
    for (const wrong of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/8/8', 'x/8', '::/129']) {
      expect(table(wrong)).toThrow(`${wrong} is not a prefix`)
    }
    expect(table('10.0.0.0/8', '10.9.0.0/8')).toThrow('given twice')
  })
})
