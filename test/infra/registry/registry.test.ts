import { afterEach, expect, test } from 'vitest'
import { createRegistryClient, serveLog, type Registry, type SchemaLog } from '#infra/registry'
import { isError } from '#core/ports'
import { memorySchemaLog } from '../../support/memory-schema-log.ts'

const open: Registry[] = []
afterEach(async () => {
  for (const registry of open.splice(0)) await registry.stop()
})

async function serve(log: SchemaLog): Promise<Registry> {
  const registry = await serveLog(log)
  open.push(registry)
  return registry
}

const field = (name: string, type: unknown, rest = {}) => ({ name, type, ...rest })
const record = (name: string, ...fields: object[]) => JSON.stringify({ type: 'record', name, fields })
const V1 = record('Flow', field('bytes', 'long'))
const V2 = record('Flow', field('bytes', 'long'), field('packets', 'long', { default: 0 }))
const BROKEN = record('Flow', field('bytes', 'long'), field('packets', 'long'))

async function call(registry: Registry, method: string, path: string, body?: unknown) {
  const response = await fetch(registry.url + path, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
  })
  return { status: response.status, type: response.headers.get('content-type'), body: await response.json() }
}

test('listens on 127.0.0.1 only and answers in the media type of Confluent', async () => {
  const registry = await serve(memorySchemaLog().handle())
  expect(registry.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
  const answer = await call(registry, 'GET', '/subjects')
  expect(answer.type).toContain('application/vnd.schemaregistry.v1+json')
  expect(answer.body).toEqual([])
})

test('ids and levels survive a restart, and a new schema never gets an old id', async () => {
  const log = memorySchemaLog()
  const first = await serve(log.handle())
  await call(first, 'POST', '/subjects/a/versions', { schema: V1 })
  await call(first, 'POST', '/subjects/a/versions', { schema: V2 })
  await call(first, 'PUT', '/config/a', { compatibility: 'FULL' })
  await call(first, 'DELETE', '/subjects/a')
  const second = await serve(log.handle())
  expect((await call(second, 'GET', '/schemas/ids/2')).body).toEqual({ schema: V2 })
  expect((await call(second, 'GET', '/config/a')).body).toEqual({ compatibilityLevel: 'FULL' })
  expect((await call(second, 'GET', '/subjects')).body).toEqual([])
  expect((await call(second, 'POST', '/subjects/b/versions', { schema: V2 })).body).toEqual({ id: 2 })
  expect((await call(second, 'POST', '/subjects/b/versions', { schema: record('Other') })).status).toBe(409)
  expect((await call(second, 'POST', '/subjects/c/versions', { schema: record('Other') })).body).toEqual({
    id: 3,
  })
  expect((await call(second, 'POST', '/subjects/a/versions', { schema: V1 })).body).toEqual({ id: 1 })
  expect((await call(second, 'GET', '/subjects/a/versions')).body).toEqual([3])
})

test('of two registries on one log only the newer writes; the older still answers reads', async () => {
  const log = memorySchemaLog()
  const older = await serve(log.handle())
  await call(older, 'POST', '/subjects/a/versions', { schema: V1 })
  const newer = await serve(log.handle())
  const refused = await call(older, 'POST', '/subjects/b/versions', { schema: V2 })
  expect(refused).toMatchObject({ status: 500, body: { error_code: 50003 } })
  expect((await call(older, 'GET', '/schemas/ids/1')).status).toBe(200)
  expect((await call(newer, 'POST', '/subjects/b/versions', { schema: V2 })).body).toEqual({ id: 2 })
  expect(log.entries).toHaveLength(2)
})

test.each([true, false])(
  'after a failed write the next one starts from what the log holds (written: %s)',
  async (written) => {
    const log = memorySchemaLog()
    const registry = await serve(log.handle())
    log.failNext(written)
    const failed = await call(registry, 'POST', '/subjects/a/versions', { schema: V1 })
    expect(failed).toMatchObject({ status: 500, body: { error_code: 50001 } })
    expect((await call(registry, 'POST', '/subjects/a/versions', { schema: V2 })).body).toEqual({
      id: written ? 2 : 1,
    })
    expect((await call(registry, 'POST', '/subjects/a/versions', { schema: V1 })).body).toEqual({
      id: written ? 1 : 2,
    })
  },
)

test('schemas registered at once get one id each, and equal ones the same', async () => {
  const log = memorySchemaLog()
  const registry = await serve(log.handle())
  const ids = await Promise.all(
    Array.from({ length: 30 }, async (_, i) => {
      const schema = record(`R${i % 10}`, field('x', 'int'))
      const { body } = await call(registry, 'POST', `/subjects/s${i}/versions`, { schema })
      return (body as { id: number }).id
    }),
  )
  expect(new Set(ids).size).toBe(10)
  for (let i = 0; i < 10; i++) expect(ids[i + 10]).toBe(ids[i])
})

const schemas = {
  'a plain schema': V1,
  'one more field with a default': V2,
  'one more field without a default': BROKEN,
}
test.each([
  ['BACKWARD', 'a plain schema', 'one more field with a default', 200],
  ['BACKWARD', 'a plain schema', 'one more field without a default', 409],
  ['BACKWARD', 'one more field with a default', 'a plain schema', 200],
  ['FORWARD', 'a plain schema', 'one more field without a default', 200],
  ['FORWARD', 'one more field without a default', 'a plain schema', 409],
  ['FULL', 'a plain schema', 'one more field with a default', 200],
  ['FULL', 'a plain schema', 'one more field without a default', 409],
  ['NONE', 'a plain schema', 'one more field without a default', 200],
] as const)('level %s: %s, then %s, gives %i', async (compatibility, before, after, status) => {
  const registry = await serve(memorySchemaLog().handle())
  await call(registry, 'PUT', '/config', { compatibility })
  await call(registry, 'POST', '/subjects/a/versions', { schema: schemas[before] })
  expect((await call(registry, 'POST', '/subjects/a/versions', { schema: schemas[after] })).status).toBe(
    status,
  )
})

test('a transitive level looks at all versions, the plain one at the last', async () => {
  const without = record('Flow', field('a', 'int'))
  const asInt = record('Flow', field('a', 'int'), field('b', 'int', { default: 0 }))
  const asString = record('Flow', field('a', 'int'), field('b', 'string', { default: '' }))
  for (const [level, status] of [
    ['BACKWARD', 200],
    ['BACKWARD_TRANSITIVE', 409],
  ] as const) {
    const registry = await serve(memorySchemaLog().handle())
    await call(registry, 'PUT', '/config/s', { compatibility: level })
    await call(registry, 'POST', '/subjects/s/versions', { schema: asInt })
    await call(registry, 'POST', '/subjects/s/versions', { schema: without })
    expect((await call(registry, 'POST', '/subjects/s/versions', { schema: asString })).status).toBe(status)
  }
})

test('a schema with references, or of another kind than Avro, is refused and not half understood', async () => {
  const registry = await serve(memorySchemaLog().handle())
  const references = [{ name: 'x', subject: 'y', version: 1 }]
  for (const body of [{ schema: V1, references }, { schema: '{}', schemaType: 'JSON' }, 'text', {}]) {
    const answer = await call(registry, 'POST', '/subjects/a/versions', body)
    expect(answer).toMatchObject({ status: 422, body: { error_code: 42201 } })
  }
})

test('a browser page cannot write: a form cannot carry the media type', async () => {
  const registry = await serve(memorySchemaLog().handle())
  const response = await fetch(`${registry.url}/subjects/a/versions`, {
    method: 'POST',
    body: JSON.stringify({ schema: V1 }),
    headers: { 'content-type': 'text/plain' },
  })
  expect(response.ok).toBe(false)
  expect((await call(registry, 'GET', '/subjects')).body).toEqual([])
})

test('the client registers, reads back, and names what went wrong', async () => {
  const registry = await serve(memorySchemaLog().handle())
  const client = createRegistryClient({ url: `${registry.url}/` })
  const id = await client.register('telemetry.flows-value', V1)
  expect(await client.schemaById(id)).toBe(V1)
  const errors = await Promise.all([
    client.register('telemetry.flows-value', BROKEN).catch((error: unknown) => error),
    client.schemaById(99).catch((error: unknown) => error),
    client.register('x', '{"type":"nonsense"}').catch((error: unknown) => error),
  ])
  expect(isError(errors[0], 'SCHEMA_INCOMPATIBLE')).toBe(true)
  expect(isError(errors[1], 'RECORD_SCHEMA_UNKNOWN')).toBe(true)
  expect(isError(errors[2], 'REGISTRY_FAILED')).toBe(true)
})

test('the client asks once for what it knows, so it goes on when the registry is away', async () => {
  const registry = await serve(memorySchemaLog().handle())
  const client = createRegistryClient({ url: registry.url })
  const [a, b] = await Promise.all([client.register('s', V1), client.register('s', V1)])
  await client.schemaById(1)
  await registry.stop()
  expect([a, b, await client.register('s', V1)]).toEqual([1, 1, 1])
  expect(await client.schemaById(1)).toBe(V1)
  const error = await client.schemaById(2).catch((it: unknown) => it)
  expect(isError(error, 'REGISTRY_FAILED')).toBe(true)
})
