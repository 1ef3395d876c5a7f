/** A record schema as parsed JSON: the part of Avro 1.11 that Forestall's files use. */
export interface AvroRecord {
  type: 'record'
  name: string
  namespace?: string
  doc?: string
  fields: AvroField[]
}

/** One field of a record schema. */
export interface AvroField {
  name: string
  type: AvroSchema
  doc?: string
  default?: unknown
}

/** An enum schema. */
interface AvroEnum {
  type: 'enum'
  name: string
  doc?: string
  symbols: string[]
}

/** Any schema: a primitive or a named type by name, a complex type, or a union as an array. */
export type AvroSchema =
  | string
  | AvroRecord
  | AvroEnum
  | { type: 'array'; items: AvroSchema }
  | { type: 'map'; values: AvroSchema }
  | { type: string; logicalType?: string }
  | AvroSchema[]

/** Parses the text of a record schema. Throws SyntaxError, or TypeError if it is no record. */
export function parseRecord(text: string): AvroRecord {
  const schema: unknown = JSON.parse(text)
  if (typeof schema === 'object' && schema !== null && 'type' in schema && schema.type === 'record') {
    return schema as AvroRecord
  }
  throw new TypeError('The schema is not a record.')
}

/** A schema seen by its kind, so that readers of schemas switch once and exhaustively. */
export type SchemaView =
  | { kind: 'record'; record: AvroRecord }
  | { kind: 'enum'; enum: AvroEnum }
  | { kind: 'array'; items: AvroSchema }
  | { kind: 'map'; values: AvroSchema }
  | { kind: 'nullable'; of: AvroSchema }
  | { kind: 'name'; name: string; logicalType: string | null }

/** Views a schema by its kind. Throws TypeError for unions other than `["null", T]`, which our files do not use. */
export function viewSchema(schema: AvroSchema): SchemaView {
  if (typeof schema === 'string') return { kind: 'name', name: schema, logicalType: null }
  if (Array.isArray(schema)) {
    const [first, second, ...rest] = schema
    if (first !== 'null' || second === undefined || rest.length > 0) {
      throw new TypeError(`Only unions of null and one type are used, got ${JSON.stringify(schema)}.`)
    }
    return { kind: 'nullable', of: second }
  }
  if ('fields' in schema) return { kind: 'record', record: schema }
  if ('symbols' in schema) return { kind: 'enum', enum: schema }
  if ('items' in schema) return { kind: 'array', items: schema.items }
  if ('values' in schema) return { kind: 'map', values: schema.values }
  return {
    kind: 'name',
    name: schema.type,
    logicalType: 'logicalType' in schema ? (schema.logicalType ?? null) : null,
  }
}
