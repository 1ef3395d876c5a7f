import { Buffer } from 'node:buffer'
import avro from 'avsc'
import { describe, expect, it } from 'vitest'
import { compileColumns } from '../../../pipelines/core/codec/index.ts'
import { AVRO } from '../../../schemas/index.ts'

const forSchema = (schema: unknown): avro.Type => avro.Type.forSchema(schema as avro.Schema)
const record = (name: string, fields: Record<string, unknown>) => ({
  type: 'record',
  name,
  fields: Object.entries(fields).map(([field, type]) => ({ name: field, type })),
})

function readerOf(schema: unknown, fields: string[], defaults?: Record<string, number | string>) {
  const type = forSchema(schema)
  const reader = compileColumns(JSON.stringify(schema), fields, defaults)
  return {
    reader,
    read: (value: unknown) => {
      // In the midst of other bytes: a reader that looks beyond its range shows.
      const body = type.toBuffer(value)
      const buffer = Buffer.concat([Buffer.alloc(7, 0xff), body, Buffer.alloc(7, 0xff)])
      expect(reader.read(buffer, 7, 7 + body.length)).toBe(true)
      const text = (slot: number) => buffer.toString('utf8', reader.starts[slot], reader.ends[slot])
      return { numbers: [...reader.numbers], text }
    },
  }
}

const FLOW = {
  event_time_ms: 1_078_099_200_000,
  origin: 'o',
  stream: 'ATLAng>CHINng',
  bytes: 61_550_200.5,
  packets: 12,
  protocol: 6,
  src_port: 443,
  dst_port: 40_000,
  flow_hash: 4_294_967_295,
  duration_ms: 300_000,
  src_addr: '10.1.2.3',
  dst_addr: '10.2.3.4',
  src_region: 'ATLAng',
  dst_region: '',
  sampling_rate: 1000,
}

describe('compileColumns', () => {
  it('reads the wanted fields of a flow in place', () => {
    const { read } = readerOf(JSON.parse(AVRO.Flow), ['event_time_ms', 'stream', 'bytes', 'flow_hash'])
    const { numbers, text } = read(FLOW)
    expect(numbers).toEqual([FLOW.event_time_ms, 0, FLOW.bytes, FLOW.flow_hash])
    expect(text(1)).toBe(FLOW.stream)
  })

  it('tells every truncation and every trailing byte of a flow', () => {
    const body = forSchema(JSON.parse(AVRO.Flow)).toBuffer(FLOW)
    const padded = Buffer.concat([body, Buffer.alloc(1)])
    const reader = compileColumns(AVRO.Flow, ['bytes', 'stream'])
    const accepted = Array.from({ length: padded.length + 1 }, (_, end) => reader.read(padded, 0, end))
    expect(accepted.flatMap((ok, end) => (ok ? [end] : []))).toEqual([body.length])
  })

  it('refuses ranges outside the buffer', () => {
    const reader = compileColumns(AVRO.Flow, ['bytes'])
    expect(reader.read(Buffer.alloc(4), 0, 5)).toBe(false)
    expect(reader.read(Buffer.alloc(4), -1, 4)).toBe(false)
    expect(reader.read(Buffer.alloc(4), 3, 2)).toBe(false)
  })

  it('keeps longs exact up to 2^53 and refuses varints that are too long', () => {
    const schema = record('L', { v: 'long' })
    const { read, reader } = readerOf(schema, ['v'])
    const values = [0, -1, 1, 63, 64, -64, -65, 2 ** 27, -(2 ** 27), 2 ** 31, 2 ** 52, -(2 ** 52)]
    expect(values.map((v) => read({ v }).numbers[0])).toEqual(values)
    // avsc itself writes negative longs wrongly beyond 2^52, so these bytes are made by hand.
    const written = (v: bigint) => {
      const bytes: number[] = []
      let zigzag = BigInt.asUintN(64, (v << 1n) ^ (v >> 63n))
      for (; zigzag > 127n; zigzag >>= 7n) bytes.push(Number(zigzag & 127n) | 128)
      return Buffer.from([...bytes, Number(zigzag)])
    }
    const exact = [2n ** 53n, -(2n ** 53n), -(2n ** 53n) + 1n, -(2n ** 63n)].map((v) => {
      const bytes = written(v)
      return reader.read(bytes, 0, bytes.length) && BigInt(reader.numbers[0] ?? 0) === v
    })
    expect(exact).toEqual([true, true, true, true])
    expect(reader.read(Buffer.alloc(11, 0xff), 0, 11)).toBe(false)
    const int = compileColumns(JSON.stringify(record('I', { v: 'int' })), ['v'])
    expect(int.read(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]), 0, 5)).toBe(true)
    expect(int.numbers[0]).toBe(-(2 ** 31))
    expect(int.read(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x1f]), 0, 5)).toBe(false)
    expect(int.read(Buffer.from([0xff, 0xff, 0xff, 0xff, 0x8f, 0]), 0, 6)).toBe(false)
  })

  it('reads through nested records and nullable unions; null is NaN and -1', () => {
    const schema = record('Outer', {
      before: { type: 'map', values: 'string' },
      inner: ['null', record('Inner', { n: ['null', 'double'], s: 'string' })],
      after: { type: 'enum', name: 'E', symbols: ['a', 'b'] },
    })
    const { read, reader } = readerOf(schema, ['inner.n', 'inner.s', 'after'])
    const full = read({ before: { k: 'v' }, inner: { n: 1.5, s: 'text' }, after: 'b' })
    expect([full.numbers[0], full.text(1), full.numbers[2]]).toEqual([1.5, 'text', 1])
    expect(read({ before: {}, inner: { n: null, s: '' }, after: 'a' }).numbers[0]).toBeNaN()
    expect(read({ before: {}, inner: null, after: 'b' }).numbers).toEqual([NaN, NaN, 1])
    expect([reader.starts[1], reader.ends[1]]).toEqual([-1, -1])
    expect([reader.kind('inner.n'), reader.kind('inner.s'), reader.kind('after')]).toEqual([
      'number',
      'bytes',
      'number',
    ])
  })

  it('takes the default of a field that the writer lacks', () => {
    const defaults = { sampling_rate: 1, src_region: 'réseau' }
    const { read, reader } = readerOf(
      record('Old', { bytes: 'double' }),
      ['bytes', 'sampling_rate', 'src_region'],
      defaults,
    )
    expect(read({ bytes: 2 }).numbers.slice(0, 2)).toEqual([2, 1])
    expect(reader.fallbacks[2]?.toString('utf8', reader.starts[2], reader.ends[2])).toBe('réseau')
    expect(reader.fallbacks[0]).toBeNull()
    expect([reader.kind('sampling_rate'), reader.kind('src_region')]).toEqual(['number', 'bytes'])
  })

  it('says what cannot be read', () => {
    const schema = JSON.stringify(record('R', { a: { type: 'array', items: 'int' }, u: ['string', 'int'] }))
    const compiling = (text: string, field: string) => () => compileColumns(text, [field])
    expect(compiling(schema, 'x')).toThrow('no field x')
    expect(compiling(schema, 'a')).toThrow('array is no column')
    expect(compiling(schema, 'a.b')).toThrow('lies on the path')
    expect(compiling(schema, 'u')).toThrow('mixes kinds')
    expect(compiling('"string"', 'x')).toThrow('not a record')
    expect(compiling('{', 'x')).toThrow('not JSON')
    expect(compiling(JSON.stringify(record('R', { a: 'Unknown' })), 'a')).toThrow('unknown type Unknown')
    expect(() => compileColumns(schema, ['a', 'a'])).toThrow('no column')
  })

  it('does not walk a count that is larger than the bytes left, nor items without bytes', () => {
    const big = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f] // 2^47 - 1
    const strings = compileColumns(JSON.stringify(record('R', { a: { type: 'array', items: 'string' } })), [])
    expect(strings.read(Buffer.from([...big, 0, 0]), 0, 9)).toBe(false)
    const nulls = compileColumns(JSON.stringify(record('R', { a: { type: 'array', items: 'null' } })), [])
    expect(nulls.read(Buffer.from([...big, 0]), 0, 8)).toBe(true)
  })

  it('skips blocks that announce their size', () => {
    const reader = compileColumns(
      JSON.stringify(record('R', { a: { type: 'array', items: 'int' }, n: 'int' })),
      ['n'],
    )
    // One block of -2 items in 2 bytes, end of the array, then n = 5.
    expect(reader.read(Buffer.from([3, 4, 8, 8, 0, 10]), 0, 6)).toBe(true)
    expect(reader.numbers[0]).toBe(5)
  })

  it('walks recursive schemas, but not without end', () => {
    const schema = record('Node', { n: 'int', next: ['null', 'Node'] })
    const { read, reader } = readerOf(schema, ['n', 'next.n'])
    expect(read({ n: 1, next: { n: 2, next: { n: 3, next: null } } }).numbers).toEqual([1, 2])
    const endless = Buffer.alloc(100_000, 2)
    expect(reader.read(endless, 0, endless.length)).toBe(false)
  })
})
