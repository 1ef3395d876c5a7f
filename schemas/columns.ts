import { type AvroField, type AvroSchema, parseRecord, viewSchema } from './avro.ts'
import { AVRO, type RecordName } from './records.ts'

/** One column of a table and where its value comes from. */
export interface ColumnSpec {
  readonly name: string
  /** ClickHouse type. */
  readonly type: string
  /**
   * Path of an Avro field (`stream`, `reason.risk`), `@json:path` = that field as JSON text, or a part of
   * the Kafka record: `@topic` (without the prefix of a replay), `@partition`, `@offset`, `@timestamp` (ms),
   * `@key` (UTF-8), `@tombstone` (true if the value is null; columns of fields then hold their type's default).
   */
  readonly from: string
  readonly doc: string
}

const PRIMITIVES: Record<string, string> = {
  boolean: 'Bool',
  int: 'Int32',
  long: 'Int64',
  float: 'Float32',
  double: 'Float64',
  string: 'String',
  bytes: 'String',
}

/** Where a record came from: the last columns of every table. */
export const KAFKA_COLUMNS: readonly ColumnSpec[] = [
  { name: 'kafka_partition', type: 'Int32', from: '@partition', doc: 'Partition of the record.' },
  { name: 'kafka_offset', type: 'Int64', from: '@offset', doc: 'Offset of the record.' },
  {
    name: 'kafka_timestamp_ms',
    type: 'DateTime64(3)',
    from: '@timestamp',
    doc: 'Kafka timestamp of the record.',
  },
]

/** True if the value is null, for tables of compacted topics. */
export const TOMBSTONE: ColumnSpec = {
  name: 'tombstone',
  type: 'Bool',
  from: '@tombstone',
  doc: 'True if the key was withdrawn.',
}

/**
 * The columns of a record: one per field under the same name, nested records flattened
 * (`reason.risk` -> `reason_risk`), arrays of records and the fields named in `asJson` as JSON text.
 * `overrides` changes type, source or doc of a column by its name; `omit` leaves fields out.
 */
export function deriveColumns(
  record: RecordName,
  options: {
    asJson?: readonly string[]
    omit?: readonly string[]
    overrides?: Record<string, Partial<Omit<ColumnSpec, 'name'>>>
  } = {},
): ColumnSpec[] {
  const { asJson = [], omit = [], overrides = {} } = options
  const walk = (fields: readonly AvroField[], path: readonly string[]): ColumnSpec[] =>
    fields
      .filter((f) => path.length > 0 || !omit.includes(f.name))
      .flatMap((field) => {
        const at = [...path, field.name]
        const view = viewSchema(field.type)
        const forcedJson = asJson.includes(at.join('.'))
        if (view.kind === 'record' && !forcedJson) return walk(view.record.fields, at)
        const json = forcedJson || columnType(field.type) === null
        const derived: ColumnSpec = {
          name: at.join('_'),
          type: json ? 'String' : (columnType(field.type) ?? 'String'),
          from: json ? `@json:${at.join('.')}` : at.join('.'),
          doc: field.doc ?? '',
        }
        return [{ ...derived, ...overrides[derived.name] }]
      })
  return walk(parseRecord(AVRO[record]).fields, [])
}

/** ClickHouse has no Nullable arrays and maps. */
const canBeNull = (type: string): boolean => !type.startsWith('Array(') && !type.startsWith('Map(')

/** The ClickHouse type of a schema; null if it is kept as JSON text. */
function columnType(schema: AvroSchema): string | null {
  const view = viewSchema(schema)
  switch (view.kind) {
    case 'record':
      return null
    case 'enum':
      return 'LowCardinality(String)'
    case 'nullable': {
      const type = columnType(view.of)
      return type === null || !canBeNull(type) ? null : `Nullable(${type})`
    }
    case 'array': {
      const type = columnType(view.items)
      return type === null ? null : `Array(${type})`
    }
    case 'map': {
      const type = columnType(view.values)
      return type === null ? null : `Map(String, ${type})`
    }
    default:
      return view.logicalType === 'timestamp-millis' ? 'DateTime64(3)' : (PRIMITIVES[view.name] ?? null)
  }
}
