import type { FastifyInstance, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { COMPATIBILITY_LEVELS, type CompatibilityLevel } from './compatibility.ts'
import { RegistryError, registryErrors } from './registry-error.ts'
import type { RegistryService, VersionRef } from './service.ts'
import type { SchemaVersion } from './state.ts'

const SchemaBody = z.object({
  schema: z.string(),
  schemaType: z.literal('AVRO').optional(),
  references: z.array(z.unknown()).max(0, 'schema references are not supported').nullish(),
})
const LevelBody = z.object({ compatibility: z.enum(COMPATIBILITY_LEVELS) })

interface SubjectParams {
  Params: { subject: string }
}
interface VersionParams {
  Params: { subject: string; version: string }
}
interface IdParams {
  Params: { id: string }
}
interface Flags {
  Querystring: { deleted?: string; permanent?: string; verbose?: string; defaultToGlobal?: string }
}

function schemaOf(body: unknown): string {
  const parsed = SchemaBody.safeParse(body)
  if (parsed.success) return parsed.data.schema
  const issue = parsed.error.issues[0]
  throw registryErrors.invalidSchema(`${issue?.path.join('.') || 'body'}: ${issue?.message ?? 'unreadable'}`)
}

function levelOf(body: unknown): CompatibilityLevel {
  const parsed = LevelBody.safeParse(body)
  if (!parsed.success) throw registryErrors.invalidLevel()
  return parsed.data.compatibility
}

function versionRef(text: string): VersionRef {
  if (text === 'latest' || text === '-1') return 'latest'
  const version = Number(text)
  if (!Number.isInteger(version) || version < 1) throw registryErrors.invalidVersion(text)
  return version
}

const toJson = ({ subject, version, id, schema }: SchemaVersion) => ({
  subject,
  version,
  id,
  schema: schema.text,
})

function subjectRoutes(app: FastifyInstance, service: RegistryService): void {
  app.get<Flags>('/subjects', ({ query }) => service.subjects(query.deleted === 'true'))
  app.post<SubjectParams>('/subjects/:subject', ({ params, body }) =>
    toJson(service.lookup(params.subject, schemaOf(body))),
  )
  app.delete<SubjectParams & Flags>('/subjects/:subject', ({ params, query }) => {
    if (query.permanent === 'true') {
      throw registryErrors.notPermitted(
        'Subjects are never deleted for good: records may need their schemas.',
      )
    }
    return service.deleteSubject(params.subject)
  })
  app.get<SubjectParams>('/subjects/:subject/versions', ({ params }) =>
    service.versions(params.subject).map((it) => it.version),
  )
  app.post<SubjectParams>('/subjects/:subject/versions', async ({ params, body }) => ({
    id: await service.register(params.subject, schemaOf(body)),
  }))
  app.get<VersionParams>('/subjects/:subject/versions/:version', ({ params }) =>
    toJson(service.version(params.subject, versionRef(params.version))),
  )
  app.get<VersionParams>('/subjects/:subject/versions/:version/schema', ({ params }, reply) =>
    reply.serializer(String).send(service.version(params.subject, versionRef(params.version)).schema.text),
  )
}

function schemaRoutes(app: FastifyInstance, service: RegistryService): void {
  app.get('/schemas/types', () => ['AVRO'])
  app.get<IdParams>('/schemas/ids/:id', ({ params }) => ({
    schema: service.schemaById(Number(params.id)).text,
  }))
  app.get<IdParams>('/schemas/ids/:id/versions', ({ params }) => {
    service.schemaById(Number(params.id))
    return service.usesOf(Number(params.id)).map(({ subject, version }) => ({ subject, version }))
  })
}

function compatibilityRoutes(app: FastifyInstance, service: RegistryService): void {
  const answer = (messages: string[], verbose: string | undefined) => ({
    is_compatible: messages.length === 0,
    ...(verbose === 'true' ? { messages } : {}),
  })
  app.post<VersionParams & Flags>(
    '/compatibility/subjects/:subject/versions/:version',
    ({ params, query, body }) => {
      const ref = versionRef(params.version)
      return answer(service.incompatibilities(params.subject, ref, schemaOf(body)), query.verbose)
    },
  )
  app.post<SubjectParams & Flags>('/compatibility/subjects/:subject/versions', ({ params, query, body }) =>
    answer(service.incompatibilities(params.subject, undefined, schemaOf(body)), query.verbose),
  )
}

function configRoutes(app: FastifyInstance, service: RegistryService): void {
  app.get('/config', () => ({ compatibilityLevel: service.level(undefined, true) }))
  app.put('/config', async ({ body }) => {
    const compatibility = levelOf(body)
    await service.setLevel(undefined, compatibility)
    return { compatibility }
  })
  app.get<SubjectParams & Flags>('/config/:subject', ({ params, query }) => ({
    compatibilityLevel: service.level(params.subject, query.defaultToGlobal === 'true'),
  }))
  app.put<SubjectParams>('/config/:subject', async ({ params, body }) => {
    const compatibility = levelOf(body)
    await service.setLevel(params.subject, compatibility)
    return { compatibility }
  })
  app.delete<SubjectParams>('/config/:subject', async ({ params }) => {
    const compatibilityLevel = service.level(params.subject, false)
    await service.setLevel(params.subject, null)
    return { compatibilityLevel }
  })
}

/** Many clients name a content type on every request, also on a DELETE without a body. */
function parseBody(body: string): unknown {
  if (body === '') return undefined
  try {
    return JSON.parse(body)
  } catch {
    throw registryErrors.unreadable()
  }
}

const MEDIA_TYPE = 'application/vnd.schemaregistry.v1+json'

/**
 * Confluent's REST API (docs.confluent.io, "Schema Registry API Reference") for Avro schemas without
 * references. Errors are answered as `{error_code, message}`.
 */
export function addRoutes(app: FastifyInstance, service: RegistryService): void {
  for (const mediaType of ['application/json', /^application\/vnd\.schemaregistry/]) {
    app.addContentTypeParser<string>(
      mediaType,
      { parseAs: 'string' },
      async (_: FastifyRequest, body: string) => parseBody(body),
    )
  }
  app.addHook('onRequest', async (_, reply) => {
    reply.header('content-type', MEDIA_TYPE)
  })
  app.setErrorHandler((error: Error & { statusCode?: number }, _, reply) => {
    const status = error instanceof RegistryError ? error.status : (error.statusCode ?? 500)
    const code = error instanceof RegistryError ? error.code : status
    return reply.status(status).send({ error_code: code, message: error.message })
  })
  app.setNotFoundHandler((_, reply) =>
    reply.status(404).send({ error_code: 404, message: 'HTTP 404 Not Found' }),
  )
  app.get('/', () => ({}))
  subjectRoutes(app, service)
  schemaRoutes(app, service)
  compatibilityRoutes(app, service)
  configRoutes(app, service)
}
