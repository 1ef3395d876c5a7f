import type { CompatibilityLevel } from './compatibility.ts'
import type { LogEntry } from './schema-log.ts'
import { parseSchema, type ParsedSchema } from './schema.ts'

/** A version of a subject. */
export interface SchemaVersion {
  readonly subject: string
  readonly version: number
  readonly id: number
  readonly schema: ParsedSchema
  readonly deleted: boolean
}

/** What the log holds, indexed. `apply` is the only way in. */
export interface RegistryState {
  apply(entries: readonly LogEntry[]): void
  subjects(includeDeleted: boolean): string[]
  /** Versions of a subject, oldest first, deleted ones too. Empty for an unknown subject. */
  versions(subject: string): SchemaVersion[]
  schemaById(id: number): ParsedSchema | undefined
  /** Versions not deleted that use a schema. */
  usesOf(id: number): SchemaVersion[]
  /** The id of this schema under any subject, or the next free one. */
  idFor(schema: ParsedSchema): number
  /** The level set for a subject (undefined: the global one) itself. */
  level(subject: string | undefined): CompatibilityLevel | undefined
}

type Key = { kind: 'schema'; subject: string; version: number } | { kind: 'config'; subject: string | null }

/** The log entry of one version. */
export const versionEntry = ({ subject, version, id, schema, deleted }: SchemaVersion): LogEntry => ({
  key: JSON.stringify({ kind: 'schema', subject, version } satisfies Key),
  value: JSON.stringify({ id, schema: schema.text, deleted }),
})

/** The log entry of a compatibility level, of a subject or global; null removes it. */
export const levelEntry = (subject: string | undefined, level: CompatibilityLevel | null): LogEntry => ({
  key: JSON.stringify({ kind: 'config', subject: subject ?? null } satisfies Key),
  value: level === null ? null : JSON.stringify({ level }),
})

/** An empty state. */
export function createState(): RegistryState {
  const bySubject = new Map<string, Map<number, SchemaVersion>>()
  const byId = new Map<number, ParsedSchema>()
  const idByIdentity = new Map<string, number>()
  const levels = new Map<string | undefined, CompatibilityLevel>()
  let nextId = 1

  const applyVersion = (subject: string, version: number, value: string): void => {
    const {
      id,
      schema: text,
      deleted,
    } = JSON.parse(value) as { id: number; schema: string; deleted: boolean }
    const schema = byId.get(id) ?? parseSchema(text)
    byId.set(id, schema)
    idByIdentity.set(schema.identity, id)
    nextId = Math.max(nextId, id + 1)
    const versions = bySubject.get(subject) ?? new Map<number, SchemaVersion>()
    bySubject.set(subject, versions.set(version, { subject, version, id, schema, deleted }))
  }
  const applyLevel = (subject: string | undefined, value: string | null): void => {
    if (value === null) levels.delete(subject)
    else levels.set(subject, (JSON.parse(value) as { level: CompatibilityLevel }).level)
  }
  const versions = (subject: string): SchemaVersion[] =>
    [...(bySubject.get(subject)?.values() ?? [])].sort((a, b) => a.version - b.version)

  return {
    apply(entries) {
      for (const { key: keyText, value } of entries) {
        const key = JSON.parse(keyText) as Key
        if (key.kind === 'config') applyLevel(key.subject ?? undefined, value)
        else if (value !== null) applyVersion(key.subject, key.version, value)
      }
    },
    subjects: (includeDeleted) =>
      [...bySubject.keys()].filter((it) => includeDeleted || versions(it).some((v) => !v.deleted)).sort(),
    versions,
    schemaById: (id) => byId.get(id),
    usesOf: (id) => [...bySubject.keys()].flatMap(versions).filter((v) => v.id === id && !v.deleted),
    idFor: (schema) => idByIdentity.get(schema.identity) ?? nextId,
    level: (subject) => levels.get(subject),
  }
}
