import { ForestallError, type SchemaRegistry } from '#core/ports'
import { requestJson, type RegistryAnswer, type RegistryConnection } from './request.ts'

/** Ids that the registry does not know are asked for again after this time: a registry may lag behind. */
const UNKNOWN_ID_TTL_MS = 5_000
const UNKNOWN_IDS_MAX = 10_000

const SCHEMA_NOT_FOUND = 40403

function failure(what: string, { status, body }: RegistryAnswer): ForestallError {
  const message = body['message']
  const text = `${what}: ${typeof message === 'string' ? message : `HTTP status ${status}`}`
  if (status === 409) return new ForestallError('SCHEMA_INCOMPATIBLE', text)
  return new ForestallError('REGISTRY_FAILED', text)
}

/** Remembers the promise of each key, and forgets it if it fails. */
function remember<T>(
  cache: Map<string | number, Promise<T>>,
  key: string | number,
  make: () => Promise<T>,
): Promise<T> {
  const known = cache.get(key)
  if (known) return known
  const made = make()
  cache.set(key, made)
  made.catch(() => cache.delete(key))
  return made
}

/**
 * A client of any registry that speaks Confluent's REST API (ours, Confluent's, Apicurio's under
 * `/apis/ccompat/v7`). Answers are kept for ever: an id never changes its meaning. Failures that may pass
 * (network, 429, 5xx) are retried. Throws SCHEMA_INCOMPATIBLE, RECORD_SCHEMA_UNKNOWN, REGISTRY_FAILED.
 */
export function createRegistryClient(connection: RegistryConnection): SchemaRegistry {
  const registered = new Map<string | number, Promise<number>>()
  const schemas = new Map<string | number, Promise<string>>()
  const unknownUntilMs = new Map<number, number>()

  const unknown = (id: number): ForestallError =>
    new ForestallError('RECORD_SCHEMA_UNKNOWN', `The registry has no schema of id ${id}.`)
  const register = async (subject: string, schema: string): Promise<number> => {
    const path = `/subjects/${encodeURIComponent(subject)}/versions`
    const answer = await requestJson(connection, path, { schema })
    const id = answer.body['id']
    if (answer.status !== 200 || typeof id !== 'number') throw failure(`Registering "${subject}"`, answer)
    return id
  }
  const fetchSchema = async (id: number): Promise<string> => {
    const answer = await requestJson(connection, `/schemas/ids/${id}`)
    const schema = answer.body['schema']
    if (answer.status === 200 && typeof schema === 'string') return schema
    if (answer.body['error_code'] !== SCHEMA_NOT_FOUND) throw failure(`Reading schema ${id}`, answer)
    if (unknownUntilMs.size >= UNKNOWN_IDS_MAX) unknownUntilMs.clear()
    unknownUntilMs.set(id, performance.now() + UNKNOWN_ID_TTL_MS)
    throw unknown(id)
  }
  return {
    register: (subject, schema) =>
      remember(registered, JSON.stringify([subject, schema]), () => register(subject, schema)),
    schemaById: async (id) => {
      if ((unknownUntilMs.get(id) ?? 0) > performance.now()) throw unknown(id)
      return remember(schemas, id, () => fetchSchema(id))
    },
  }
}
