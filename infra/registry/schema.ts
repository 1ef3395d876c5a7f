import { createHash } from 'node:crypto'
import avro from 'avsc'

/** An Avro schema as parsed from its text. */
export interface ParsedSchema {
  /** The text as it was registered. */
  readonly text: string
  /** Equal for texts that differ in white space or in the order of attributes only. */
  readonly identity: string
  readonly type: avro.Type
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== 'object' || value === null) return value
  const sorted = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(sorted.map(([key, inner]) => [key, sortKeys(inner)]))
}

/** Parses an Avro schema; throws an Error that says what is wrong with it. */
export function parseSchema(text: string): ParsedSchema {
  const json = JSON.parse(text) as avro.Schema
  const type = avro.Type.forSchema(json, { noAnonymousTypes: true })
  const identity = createHash('sha256')
    .update(JSON.stringify(sortKeys(json)))
    .digest('base64')
  return { text, identity, type }
}
