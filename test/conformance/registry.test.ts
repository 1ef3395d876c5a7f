import {
  COMPATIBILITY,
  SchemaRegistry as KafkaJsRegistry,
  SchemaType,
} from '@kafkajs/confluent-schema-registry'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, inject, test } from 'vitest'
import { isError } from '#core/ports'
import { createRegistryClient } from '#infra/registry'
import { startApicurio } from '../support/apicurio.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'

failOnLeaks()

/** A registry to test, or why there is none. */
interface Candidate {
  url: string
  stop(): Promise<void>
}

async function embedded(): Promise<Candidate> {
  return { url: inject('registryUrl'), stop: async () => {} }
}

async function apicurio(): Promise<Candidate> {
  const dataDir = mkdtempSync(join(tmpdir(), 'forestall-apicurio-'))
  const registry = await startApicurio(dataDir)
  // Confluent's default, and ours; Apicurio's is NONE.
  await fetch(`${registry.url}/config`, {
    method: 'PUT',
    body: JSON.stringify({ compatibility: 'BACKWARD' }),
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
  })
  const stop = async (): Promise<void> => {
    await registry.stop()
    rmSync(dataDir, { recursive: true, force: true })
  }
  return { url: registry.url, stop }
}

const namespace = uniqueName('ns')
const schemaOf = (name: string, ...fields: object[]) =>
  JSON.stringify({ type: 'record', name, namespace, fields })
const bytes = { name: 'bytes', type: 'long' }
const packets = { name: 'packets', type: 'long', default: 0 }

describe.each([
  ['embedded', embedded],
  ['Apicurio', apicurio],
] as const)('%s registry', (_, start) => {
  let registry: Candidate | undefined
  let missing = ''
  let subject = ''
  let v1 = ''
  let v2 = ''
  let incompatible = ''

  beforeAll(async () => {
    try {
      registry = await start()
    } catch (error) {
      if (!isError(error, 'SERVICE_MISSING') || process.env['REQUIRE_SERVICES'] === '1') throw error
      missing = error.message
    }
  })
  afterAll(() => registry?.stop())
  beforeEach((context) => {
    context.skip(missing !== '', missing)
    subject = uniqueName('subject')
    const name = uniqueName('Flow')
    v1 = schemaOf(name, bytes)
    v2 = schemaOf(name, bytes, packets)
    incompatible = schemaOf(name, bytes, { name: 'drops', type: 'long' })
  })

  async function call(method: string, path: string, body?: unknown) {
    const response = await fetch((registry?.url ?? '') + path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    })
    return { status: response.status, body: await response.json() }
  }
  const register = async (schema: string, under = subject): Promise<number> => {
    const { status, body } = await call('POST', `/subjects/${under}/versions`, { schema })
    expect(status).toBe(200)
    return (body as { id: number }).id
  }

  test('one schema has one id, however often and under whatever subject it is registered', async () => {
    const id = await register(v1)
    expect(await register(v1)).toBe(id)
    expect(await register(v1, `${subject}_other`)).toBe(id)
    expect(await register(v2)).not.toBe(id)
    const { body } = await call('GET', `/schemas/ids/${id}`)
    expect(JSON.parse((body as { schema: string }).schema)).toEqual(JSON.parse(v1))
  })

  test('versions are numbered from 1 and found by number and as latest', async () => {
    const ids = [await register(v1), await register(v2)]
    expect((await call('GET', `/subjects/${subject}/versions`)).body).toEqual([1, 2])
    const first = await call('GET', `/subjects/${subject}/versions/1`)
    const latest = await call('GET', `/subjects/${subject}/versions/latest`)
    expect(first.body).toMatchObject({ subject, version: 1, id: ids[0] })
    expect(latest.body).toMatchObject({ subject, version: 2, id: ids[1] })
    expect((await call('GET', '/subjects')).body).toContain(subject)
  })

  test('a schema is looked up under its subject', async () => {
    const id = await register(v1)
    expect((await call('POST', `/subjects/${subject}`, { schema: v1 })).body).toMatchObject({
      subject,
      version: 1,
      id,
    })
    const unknown = await call('POST', `/subjects/${subject}`, { schema: v2 })
    expect(unknown).toMatchObject({ status: 404, body: { error_code: 40403 } })
  })

  test('an incompatible schema is told beforehand and refused with 409', async () => {
    await register(v1)
    const check = (schema: string) =>
      call('POST', `/compatibility/subjects/${subject}/versions/latest`, { schema })
    expect((await check(v2)).body).toMatchObject({ is_compatible: true })
    expect((await check(incompatible)).body).toMatchObject({ is_compatible: false })
    const refused = await call('POST', `/subjects/${subject}/versions`, { schema: incompatible })
    expect(refused).toMatchObject({ status: 409, body: { error_code: 409 } })
    expect((await call('GET', `/subjects/${subject}/versions`)).body).toEqual([1])
  })

  test('the level of a subject overrides the global one', async () => {
    // Not NONE: in Apicurio that means "no level of its own", so the global one holds.
    await register(v1)
    expect((await call('GET', '/config')).body).toMatchObject({ compatibilityLevel: 'BACKWARD' })
    const put = await call('PUT', `/config/${subject}`, { compatibility: 'FORWARD' })
    expect(put).toMatchObject({ status: 200, body: { compatibility: 'FORWARD' } })
    expect((await call('GET', `/config/${subject}`)).body).toMatchObject({ compatibilityLevel: 'FORWARD' })
    await register(incompatible)
  })

  test('errors carry the numbers of Confluent', async () => {
    await register(v1)
    const none = uniqueName('none')
    expect(await call('GET', `/subjects/${none}/versions`)).toMatchObject({
      status: 404,
      body: { error_code: 40401 },
    })
    const version = await call('GET', `/subjects/${subject}/versions/77`)
    expect(version).toMatchObject({ status: 404, body: { error_code: 40402 } })
    const id = await call('GET', '/schemas/ids/999999')
    expect(id).toMatchObject({ status: 404, body: { error_code: 40403 } })
    const invalid = await call('POST', `/subjects/${subject}/versions`, { schema: '{"type":"nonsense"}' })
    expect(invalid).toMatchObject({ status: 422, body: { error_code: 42201 } })
  })

  test('a deleted subject is gone, and the ids in records still resolve', async () => {
    const id = await register(v1)
    await register(v2)
    expect((await call('DELETE', `/subjects/${subject}`)).body).toEqual([1, 2])
    expect((await call('GET', '/subjects')).body).not.toContain(subject)
    expect((await call('GET', `/subjects/${subject}/versions`)).status).toBe(404)
    expect((await call('GET', `/schemas/ids/${id}`)).status).toBe(200)
  })

  test('our client registers, reads and tells errors apart', async () => {
    const client = createRegistryClient({ url: registry?.url ?? '' })
    const id = await client.register(subject, v1)
    expect(JSON.parse(await client.schemaById(id))).toEqual(JSON.parse(v1))
    const refused = await client.register(subject, incompatible).catch((error: unknown) => error)
    expect(isError(refused, 'SCHEMA_INCOMPATIBLE')).toBe(true)
    const unknown = await client.schemaById(999_999).catch((error: unknown) => error)
    expect(isError(unknown, 'RECORD_SCHEMA_UNKNOWN')).toBe(true)
  })

  test('the unmodified client @kafkajs/confluent-schema-registry encodes, decodes and evolves', async () => {
    const host = registry?.url ?? ''
    const writer = new KafkaJsRegistry({ host }, undefined)
    const reader = new KafkaJsRegistry({ host })
    const options = { subject, compatibility: COMPATIBILITY.BACKWARD }
    const first = await writer.register({ type: SchemaType.AVRO, schema: v1 }, options)
    const record = await writer.encode(first.id, { bytes: 7 })
    expect([record[0], record.readInt32BE(1)]).toEqual([0, first.id])
    const second = await writer.register({ type: SchemaType.AVRO, schema: v2 }, options)
    expect(await writer.getLatestSchemaId(subject)).toBe(second.id)
    expect(await reader.decode(record)).toMatchObject({ bytes: 7 })
    const wide = await writer.encode(second.id, { bytes: 8, packets: 9 })
    expect(await reader.decode(wide)).toMatchObject({ bytes: 8, packets: 9 })
    await expect(
      writer.register({ type: SchemaType.AVRO, schema: incompatible }, options),
    ).rejects.toMatchObject({
      status: 409,
    })
  })
})
