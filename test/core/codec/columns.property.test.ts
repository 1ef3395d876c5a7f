import { Buffer } from 'node:buffer'
import avro from 'avsc'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compileColumns } from '../../../pipelines/core/codec/index.ts'

/** A schema with a generator of its values. */
interface Sample {
  schema: unknown
  value: fc.Arbitrary<unknown>
  leaf: boolean
}

const leaf = (schema: unknown, value: fc.Arbitrary<unknown>): Sample => ({ schema, value, leaf: true })
let names = 0
const fresh = (): string => `N${++names}`

const leaves = (): fc.Arbitrary<Sample> =>
  fc.constantFrom(
    leaf('boolean', fc.boolean()),
    leaf('int', fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 })),
    leaf({ type: 'long', logicalType: 'timestamp-millis' }, fc.integer({ min: -(2 ** 52), max: 2 ** 52 })),
    leaf('float', fc.float({ noNaN: true })),
    leaf('double', fc.double({ noNaN: true })),
    leaf('string', fc.string({ unit: 'grapheme' })),
    leaf(
      'bytes',
      fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b)),
    ),
    leaf(
      { type: 'fixed', name: fresh(), size: 3 },
      fc.uint8Array({ minLength: 3, maxLength: 3 }).map((b) => Buffer.from(b)),
    ),
    leaf({ type: 'enum', name: fresh(), symbols: ['A', 'B', 'C'] }, fc.constantFrom('A', 'B', 'C')),
  )

function samples(depth: number): fc.Arbitrary<Sample> {
  if (depth === 0) return leaves()
  const inner = samples(depth - 1)
  return fc.oneof(
    { weight: 4, arbitrary: leaves() },
    inner.map(({ schema, value }) => ({
      schema: { type: 'array', items: schema },
      value: fc.array(value, { maxLength: 4 }),
      leaf: false,
    })),
    inner.map(({ schema, value }) => ({
      schema: { type: 'map', values: schema },
      value: fc.dictionary(fc.string(), value, { maxKeys: 3, noNullPrototype: true }),
      leaf: false,
    })),
    leaves().map(({ schema, value }) => ({
      schema: ['null', schema],
      value: fc.option(value),
      leaf: true,
    })),
    records(depth - 1),
  )
}

function records(depth: number): fc.Arbitrary<Sample> {
  return fc.array(samples(depth), { minLength: 1, maxLength: 6 }).map((fields) => ({
    schema: {
      type: 'record',
      name: fresh(),
      fields: fields.map((f, i) => ({ name: `f${i}`, type: unique(f.schema) })),
    },
    value: fc.record(Object.fromEntries(fields.map((f, i) => [`f${i}`, f.value]))),
    leaf: false,
  }))
}

/** Gives every named type a name of its own: the same leaf may be drawn twice. */
function unique(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(unique)
  if (typeof schema !== 'object' || schema === null) return schema
  const copy = Object.fromEntries(
    Object.entries(schema).map(([k, v]) => [k, k === 'symbols' ? v : unique(v)]),
  )
  return 'name' in copy && 'type' in copy && ('size' in copy || 'symbols' in copy)
    ? { ...copy, name: fresh() }
    : copy
}

interface Case {
  type: avro.Type
  text: string
  /** Dotted paths of the leaves that a column may hold. */
  paths: string[]
  value: Record<string, unknown>
}

type Fields = { name: string; type: unknown }[]
const fieldsOf = (schema: unknown): Fields => (schema as { fields: Fields }).fields

function pathsOf(schema: unknown): string[] {
  return fieldsOf(schema).flatMap(({ name, type }) => {
    const kind = typeof type === 'object' && type !== null && 'type' in type ? type.type : type
    if (kind === 'record') return pathsOf(type).map((p) => `${name}.${p}`)
    return kind === 'array' || kind === 'map' ? [] : [name]
  })
}

const cases: fc.Arbitrary<Case> = records(3)
  .filter((s) => pathsOf(s.schema).length > 0)
  .chain((sample) =>
    fc.record({
      type: fc.constant(avro.Type.forSchema(sample.schema as avro.Schema, { wrapUnions: false })),
      text: fc.constant(JSON.stringify(sample.schema)),
      paths: fc.subarray(pathsOf(sample.schema), { minLength: 1 }),
      value: sample.value as fc.Arbitrary<Record<string, unknown>>,
    }),
  )

const at = (value: unknown, path: string): unknown =>
  path.split('.').reduce<unknown>((v, name) => (v as Record<string, unknown>)[name], value)

/** What a column of the value holds: a number, the bytes, or null. */
function expected(value: unknown, symbols: string[]): number | Buffer | null {
  if (value === null || typeof value === 'number') return value
  if (typeof value === 'boolean') return Number(value)
  if (Buffer.isBuffer(value)) return value
  const text = value as string
  return symbols.includes(text) ? symbols.indexOf(text) : Buffer.from(text)
}

describe('compileColumns against avsc', () => {
  it('reads the same values from random schemas and records', () => {
    fc.assert(
      fc.property(cases, fc.nat(9), ({ type, text, paths, value }, lead) => {
        const body = type.toBuffer(value)
        const buffer = Buffer.concat([Buffer.alloc(lead, 1), body, Buffer.alloc(9, 1)])
        const reader = compileColumns(text, paths)
        expect(reader.read(buffer, lead, lead + body.length)).toBe(true)
        const back: unknown = type.fromBuffer(body)
        paths.forEach((path, i) => {
          const number = reader.numbers[i] ?? NaN
          const bytes =
            (reader.starts[i] ?? -1) < 0 ? null : buffer.subarray(reader.starts[i], reader.ends[i])
          const actual = reader.kind(path) === 'bytes' ? bytes : Number.isNaN(number) ? null : number
          const symbols = reader.kind(path) === 'number' ? ['A', 'B', 'C'] : []
          expect(actual).toEqual(expected(at(back, path), symbols))
        })
      }),
      { numRuns: 300 },
    )
  })

  it('accepts no proper beginning of a record, and never throws on altered bytes', () => {
    fc.assert(
      fc.property(cases, fc.nat(), fc.nat(255), ({ type, text, paths, value }, at, byte) => {
        const body = type.toBuffer(value)
        fc.pre(body.length > 0)
        const reader = compileColumns(text, paths)
        expect(reader.read(body, 0, at % body.length)).toBe(false)
        const altered = Buffer.from(body)
        altered[at % body.length] = byte
        const accepted = reader.read(altered, 0, altered.length)
        const inside = [...reader.starts, ...reader.ends].every((p) => p >= -1 && p <= altered.length)
        expect(accepted ? inside : true).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})
