import { Buffer } from 'node:buffer'
import { describe, expect, it } from 'vitest'
import { createCodec, NeedsSchema, wireSchemaId } from '../../../pipelines/core/codec/index.ts'
import { ForestallError, type SchemaRegistry } from '../../../pipelines/core/ports/index.ts'
import { type Ack, AVRO } from '../../../schemas/index.ts'

/** A registry in memory that counts what it is asked. */
function memoryRegistry(): SchemaRegistry & { fetched: number[]; add(text: string): number } {
  const texts: string[] = []
  const fetched: number[] = []
  const add = (text: string): number => {
    if (!texts.includes(text)) texts.push(text)
    return texts.indexOf(text) + 1
  }
  return {
    fetched,
    add,
    register: (_subject, text) => Promise.resolve(add(text)),
    schemaById(id) {
      fetched.push(id)
      const text = texts[id - 1]
      return text === undefined
        ? Promise.reject(new ForestallError('RECORD_SCHEMA_UNKNOWN', `The registry has no schema ${id}.`))
        : Promise.resolve(text)
    },
  }
}

const ACK: Ack = {
  decision_id: 'd1',
  decision_topic: 'decisions.traffic.routes',
  entity: 'ATLAng>CHINng',
  epoch: 1_790_000_000_000,
  follower: 'edge-1',
  state: 'applied',
  at_ms: 1_790_000_000_123,
  observed: { reason: 'ok', latency_ms: '0.4' },
}
const TOPIC = { topic: 'acks.decisions', record: 'Ack' } as const

async function prepared() {
  const registry = memoryRegistry()
  const codec = createCodec(registry)
  await codec.prepare([TOPIC])
  return { registry, codec }
}

/** `text` written by another program: header and avsc-encoded body of an ack. */
const reheaded = (bytes: Buffer, id: number): Buffer => {
  const copy = Buffer.from(bytes)
  copy.writeUInt32BE(id, 1)
  return copy
}

describe('createCodec', () => {
  it('encodes with magic and id, and decodes the same record without asking the registry', async () => {
    const { codec, registry } = await prepared()
    const bytes = codec.encode('acks.decisions', 'Ack', ACK)
    expect(codec.encodeView('acks.decisions', 'Ack', ACK).equals(bytes)).toBe(true)
    expect(wireSchemaId(bytes, 0, bytes.length)).toBe(1)
    const buffer = Buffer.concat([Buffer.alloc(3, 7), bytes, Buffer.alloc(3, 7)])
    expect(codec.decode(buffer, 3, 3 + bytes.length)).toEqual(ACK)
    expect(registry.fetched).toEqual([])
  })

  it('hands out bytes of its own and grows for large records', async () => {
    const { codec } = await prepared()
    const large = { ...ACK, observed: { reason: 'x'.repeat(50_000) } }
    const first = codec.encode('acks.decisions', 'Ack', large)
    const copy = Buffer.from(first)
    codec.encode('acks.decisions', 'Ack', ACK)
    expect(first.equals(copy)).toBe(true)
    expect(codec.decode(first, 0, first.length, 'Ack')).toEqual(large)
  })

  it('signals an unknown writer schema once, then decodes', async () => {
    const { codec, registry } = await prepared()
    const bytes = codec.encode('acks.decisions', 'Ack', ACK)
    const other = createCodec(registry)
    expect(() => other.decode(bytes, 0, bytes.length)).toThrow(NeedsSchema)
    await Promise.all([other.load(1), other.load(1)])
    expect(other.decode(bytes, 0, bytes.length)).toEqual(ACK)
    expect(await createCodec(registry).decodeAsync(bytes, 0, bytes.length, 'Ack')).toEqual(ACK)
    expect(await other.writerSchema(1)).toBe(AVRO.Ack)
    expect(registry.fetched).toEqual([1, 1])
  })

  it('names an id that the registry does not have, and asks again later', async () => {
    const { codec, registry } = await prepared()
    const bytes = reheaded(codec.encode('acks.decisions', 'Ack', ACK), 99)
    const decoding = () => codec.decodeAsync(bytes, 0, bytes.length)
    await expect(decoding()).rejects.toMatchObject({ code: 'RECORD_SCHEMA_UNKNOWN' })
    await expect(decoding()).rejects.toMatchObject({ code: 'RECORD_SCHEMA_UNKNOWN' })
    expect(registry.fetched).toEqual([99, 99])
  })

  it('gives fields that an older writer lacked their defaults', async () => {
    const registry = memoryRegistry()
    const flow = JSON.parse(AVRO.Flow) as { fields: unknown[] }
    const id = registry.add(JSON.stringify({ ...flow, fields: flow.fields.slice(0, 5) }))
    const { default: avro } = await import('avsc')
    const old = avro.Type.forSchema(JSON.parse(await registry.schemaById(id)) as never)
    const body = old.toBuffer({ event_time_ms: 1, origin: 'o', stream: 's', bytes: 2, packets: 3 })
    const bytes = reheaded(Buffer.concat([Buffer.alloc(5), body]), id)
    expect(await createCodec(registry).decodeAsync(bytes, 0, bytes.length)).toMatchObject({
      stream: 's',
      sampling_rate: 1,
      dst_region: '',
    })
  })

  it('refuses bytes that do not follow their schema', async () => {
    const { codec, registry } = await prepared()
    const bytes = codec.encode('acks.decisions', 'Ack', ACK)
    const refused = (buffer: Buffer, end = buffer.length) => {
      try {
        return codec.decode(buffer, 0, end)
      } catch (e) {
        return e instanceof ForestallError ? `${e.code}: ${e.message}` : e
      }
    }
    expect(refused(bytes, bytes.length - 1)).toContain('RECORD_UNDECODABLE')
    expect(refused(Buffer.concat([bytes, Buffer.alloc(1)]))).toContain('do not follow schema 1 (Ack)')
    expect(refused(Buffer.from('plain text'))).toContain('magic byte 0')
    expect(() => codec.decode(bytes, 0, bytes.length, 'Flow')).toThrow('expected Flow')
    const foreign = registry.add('{"type":"record","name":"Order","fields":[]}')
    await codec.load(foreign)
    expect(refused(reheaded(bytes, foreign))).toContain('it is Order, which is none of ours')
  })

  it('refuses to encode what does not fit, by field', async () => {
    const { codec } = await prepared()
    const encoding = (value: Ack) => () => codec.encode('acks.decisions', 'Ack', value)
    expect(encoding({ ...ACK, epoch: 1.5 })).toThrow('Ack for acks.decisions: ')
    expect(encoding({ ...ACK, state: 'gone' as never })).toThrow('gone')
    expect(() => codec.encode('acks.other', 'Ack', ACK)).toThrow('not been prepared')
  })
})
