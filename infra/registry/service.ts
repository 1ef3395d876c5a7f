import { isError } from '#core/ports'
import { incompatibilities, type CompatibilityLevel } from './compatibility.ts'
import { registryErrors } from './registry-error.ts'
import type { LogEntry, SchemaLog } from './schema-log.ts'
import { parseSchema, type ParsedSchema } from './schema.ts'
import { createState, levelEntry, versionEntry, type RegistryState, type SchemaVersion } from './state.ts'

/** `latest` or a version number. */
export type VersionRef = 'latest' | number

/** What the registry can do, without HTTP. All throw RegistryError. */
export interface RegistryService {
  /** Versions not deleted, oldest first. */
  versions(subject: string): SchemaVersion[]
  version(subject: string, ref: VersionRef): SchemaVersion
  /** The version of a subject that holds this schema. */
  lookup(subject: string, schemaText: string): SchemaVersion
  schemaById(id: number): ParsedSchema
  usesOf(id: number): SchemaVersion[]
  subjects(includeDeleted: boolean): string[]
  /** Why a schema may not follow one version, or all of the subject's; empty if it may. */
  incompatibilities(subject: string, ref: VersionRef | undefined, schemaText: string): string[]
  /** The level of a subject itself, or the one that holds for it. */
  level(subject: string | undefined, orGlobal: boolean): CompatibilityLevel
  /** Returns the id. */
  register(subject: string, schemaText: string): Promise<number>
  /** Hides all versions; returns their numbers. Ids stay readable. */
  deleteSubject(subject: string): Promise<number[]>
  /** `null` removes the level of a subject. */
  setLevel(subject: string | undefined, level: CompatibilityLevel | null): Promise<void>
}

const DEFAULT_LEVEL: CompatibilityLevel = 'BACKWARD'

function parse(text: string): ParsedSchema {
  try {
    return parseSchema(text)
  } catch (error) {
    throw registryErrors.invalidSchema(error instanceof Error ? error.message : String(error))
  }
}

/** What is to be written, and what the caller is told once it is. */
interface Change<T> {
  entries: LogEntry[]
  result: T
}

/**
 * Writes one after the other, each decided on a state that is known to be the newest. If the log fails,
 * whether the last entry stands is unknown: the next write opens the log again, which settles it.
 */
function createWriter(log: SchemaLog, replaceState: (state: RegistryState) => void) {
  let current: RegistryState | undefined
  let fenced = false
  let queue: Promise<unknown> = Promise.resolve()

  const open = async (): Promise<RegistryState> => {
    const state = createState()
    state.apply(await log.open())
    replaceState(state)
    return state
  }
  const writeNow = async <T>(decide: (state: RegistryState) => Change<T>): Promise<T> => {
    if (fenced) throw registryErrors.fenced()
    let state: RegistryState
    try {
      state = current ??= await open()
    } catch (error) {
      throw registryErrors.storeFailed(String(error))
    }
    const { entries, result } = decide(state)
    if (entries.length === 0) return result
    try {
      await log.append(entries)
    } catch (error) {
      current = undefined
      fenced = isError(error, 'PRODUCER_FENCED')
      throw fenced ? registryErrors.fenced() : registryErrors.storeFailed(String(error))
    }
    state.apply(entries)
    return result
  }
  return <T>(decide: (state: RegistryState) => Change<T>): Promise<T> => {
    const write = queue.then(() => writeNow(decide))
    queue = write.catch(() => {})
    return write
  }
}

function decideRegister(
  service: RegistryService,
  state: RegistryState,
  subject: string,
  schema: ParsedSchema,
) {
  const all = state.versions(subject)
  const live = all.filter((it) => !it.deleted)
  const same = live.find((it) => it.schema.identity === schema.identity)
  if (same) return { entries: [], result: same.id }
  const schemas = live.map((it) => it.schema)
  const messages = incompatibilities(schema, schemas, service.level(subject, true))
  if (messages.length > 0) throw registryErrors.incompatible(messages)
  const id = state.idFor(schema)
  const version = (all.at(-1)?.version ?? 0) + 1
  return { entries: [versionEntry({ subject, version, id, schema, deleted: false })], result: id }
}

/** Opens the log (taking over from any other registry) and serves what it holds. */
export async function openService(log: SchemaLog): Promise<RegistryService> {
  let state = createState()
  const write = createWriter(log, (it) => (state = it))

  const versions = (subject: string): SchemaVersion[] => {
    const live = state.versions(subject).filter((it) => !it.deleted)
    if (live.length === 0) throw registryErrors.subjectNotFound(subject)
    return live
  }
  const version = (subject: string, ref: VersionRef): SchemaVersion => {
    const live = versions(subject)
    const found = ref === 'latest' ? live.at(-1) : live.find((it) => it.version === ref)
    if (!found) throw registryErrors.versionNotFound(Number(ref))
    return found
  }
  const level = (subject: string | undefined, orGlobal: boolean): CompatibilityLevel => {
    const own = state.level(subject)
    if (own !== undefined) return own
    if (subject !== undefined && !orGlobal) throw registryErrors.levelNotSet(subject)
    return state.level(undefined) ?? DEFAULT_LEVEL
  }
  const service: RegistryService = {
    versions,
    version,
    level,
    subjects: (includeDeleted) => state.subjects(includeDeleted),
    usesOf: (id) => state.usesOf(id),
    lookup(subject, text) {
      const { identity } = parse(text)
      const found = versions(subject).find((it) => it.schema.identity === identity)
      if (!found) throw registryErrors.schemaNotFound()
      return found
    },
    schemaById(id) {
      const schema = state.schemaById(id)
      if (!schema) throw registryErrors.schemaNotFound()
      return schema
    },
    incompatibilities(subject, ref, text) {
      const schema = parse(text)
      const against = ref === undefined ? versions(subject) : [version(subject, ref)]
      const schemas = against.map((it) => it.schema)
      return incompatibilities(schema, schemas, level(subject, true))
    },
    register: async (subject, text) => {
      const schema = parse(text)
      return write((it) => decideRegister(service, it, subject, schema))
    },
    deleteSubject: (subject) =>
      write(() => {
        const live = versions(subject)
        return {
          entries: live.map((it) => versionEntry({ ...it, deleted: true })),
          result: live.map((it) => it.version),
        }
      }),
    setLevel: (subject, it) => write(() => ({ entries: [levelEntry(subject, it)], result: undefined })),
  }
  await write(() => ({ entries: [], result: undefined }))
  return service
}
