import { ForestallError } from '../ports/index.ts'

/** An Avro schema reduced to what a reader of bytes needs; named types point to each other, so it may be cyclic. */
export type Shape =
  | { kind: 'null' | 'boolean' | 'int' | 'long' | 'float' | 'double' | 'bytes' }
  | { kind: 'fixed'; size: number }
  | { kind: 'enum'; symbols: number }
  | { kind: 'array'; items: Shape }
  | { kind: 'map'; values: Shape }
  | { kind: 'union'; branches: Shape[] }
  | RecordShape

/** A record: fields in the order in which they are written. */
export interface RecordShape {
  kind: 'record'
  fields: { name: string; shape: Shape }[]
}

interface Scope {
  named: Map<string, Shape>
  namespace: string
}

const PRIMITIVES = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes'] as const

/**
 * Reads the JSON text of a writer schema whose top level is a record. Strings count as bytes and logical
 * types as what carries them. Throws RECORD_UNDECODABLE for anything else.
 */
export function recordShape(schemaJson: string): RecordShape {
  let schema: unknown
  try {
    schema = JSON.parse(schemaJson)
  } catch (cause) {
    throw new ForestallError('RECORD_UNDECODABLE', 'The writer schema is not JSON.', { cause })
  }
  const shape = shapeOf(schema, { named: new Map(), namespace: '' })
  if (shape.kind !== 'record') throw refuse('The writer schema is not a record.')
  return shape
}

const refuse = (message: string): ForestallError => new ForestallError('RECORD_UNDECODABLE', message)

function shapeOf(schema: unknown, scope: Scope): Shape {
  if (typeof schema === 'string') return byName(schema, scope)
  if (Array.isArray(schema)) return { kind: 'union', branches: schema.map((s) => shapeOf(s, scope)) }
  if (typeof schema !== 'object' || schema === null) throw refuse('The writer schema is no Avro schema.')
  const s = schema as Record<string, unknown>
  switch (s['type']) {
    case 'record':
    case 'error':
      return recordOf(s, scope)
    case 'enum':
      return declare(s, scope, { kind: 'enum', symbols: listOf(s['symbols']).length })
    case 'fixed':
      return declare(s, scope, { kind: 'fixed', size: sizeOf(s['size']) })
    case 'array':
      return { kind: 'array', items: shapeOf(s['items'], scope) }
    case 'map':
      return { kind: 'map', values: shapeOf(s['values'], scope) }
    default:
      return shapeOf(s['type'], scope)
  }
}

function recordOf(s: Record<string, unknown>, scope: Scope): Shape {
  const shape: RecordShape = { kind: 'record', fields: [] }
  declare(s, scope, shape)
  const inner = { named: scope.named, namespace: namespaceOf(s, scope) }
  for (const field of listOf(s['fields'])) {
    const { name, type } = field as { name: unknown; type: unknown }
    shape.fields.push({ name: String(name), shape: shapeOf(type, inner) })
  }
  return shape
}

function byName(name: string, scope: Scope): Shape {
  const primitive = PRIMITIVES.find((p) => p === name)
  if (primitive !== undefined) return { kind: primitive }
  if (name === 'string') return { kind: 'bytes' }
  const found = scope.named.get(qualify(name, scope.namespace)) ?? scope.named.get(name)
  if (found === undefined) throw refuse(`The writer schema names the unknown type ${name}.`)
  return found
}

function declare(s: Record<string, unknown>, scope: Scope, shape: Shape): Shape {
  scope.named.set(qualify(String(s['name']), namespaceOf(s, scope)), shape)
  return shape
}

/** A dotted name carries its namespace; otherwise the type's own, otherwise the one around it. */
function namespaceOf(s: Record<string, unknown>, scope: Scope): string {
  const name = String(s['name'])
  const dot = name.lastIndexOf('.')
  if (dot >= 0) return name.slice(0, dot)
  return typeof s['namespace'] === 'string' ? s['namespace'] : scope.namespace
}

const qualify = (name: string, namespace: string): string =>
  name.includes('.') || namespace === '' ? name : `${namespace}.${name}`

function listOf(value: unknown): unknown[] {
  if (!Array.isArray(value)) throw refuse('The writer schema lacks fields or symbols.')
  return value
}

function sizeOf(value: unknown): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0) {
    throw refuse('The writer schema has a fixed type without a size.')
  }
  return value
}

/** Least number of bytes a value takes. 0 only for values that never take any. */
export function minimalSize(shape: Shape, within: readonly Shape[] = []): number {
  switch (shape.kind) {
    case 'null':
      return 0
    case 'float':
      return 4
    case 'double':
      return 8
    case 'fixed':
      return shape.size
    case 'record':
      if (within.includes(shape)) return 0
      return shape.fields.reduce((sum, f) => sum + minimalSize(f.shape, [...within, shape]), 0)
    default:
      return 1
  }
}
