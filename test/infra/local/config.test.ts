import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { expect, test } from 'vitest'
import { isError } from '#core/ports'
import { externalParts, startStack } from '#infra/local'

const SECRET = 'hunter2'

function refusal(env: Record<string, string>): string {
  try {
    externalParts(env)
  } catch (error) {
    if (isError(error, 'CONFIG_INVALID')) return error.message
    throw error
  }
  return 'accepted'
}

test('nothing set, or set to nothing: everything is embedded', () => {
  expect(externalParts({})).toEqual({})
  expect(externalParts({ KAFKA_BROKERS: '', CLICKHOUSE_URL: '' })).toEqual({})
})

test('each variable replaces its part', () => {
  const parts = externalParts({
    KAFKA_BROKERS: 'a:9092, [::1]:9093',
    KAFKA_TLS: 'true',
    KAFKA_SASL_MECHANISM: 'SCRAM-SHA-256',
    KAFKA_SASL_USERNAME: 'me',
    KAFKA_SASL_PASSWORD: SECRET,
    CLICKHOUSE_URL: 'https://db:8443/',
    CLICKHOUSE_USER: 'ch',
    CLICKHOUSE_PASSWORD: SECRET,
    CLICKHOUSE_DATABASE: 'fc',
    SCHEMA_REGISTRY_URL: 'http://registry:8080/apis/ccompat/v7/',
  })
  expect(parts).toEqual({
    kafka: {
      bootstrapBrokers: ['a:9092', '[::1]:9093'],
      connection: { tls: {}, sasl: { mechanism: 'SCRAM-SHA-256', username: 'me', password: SECRET } },
    },
    clickhouse: { url: 'https://db:8443', user: 'ch', password: SECRET, database: 'fc' },
    registry: { url: 'http://registry:8080/apis/ccompat/v7' },
  })
})

test('certificates are read from files, or taken as text', () => {
  const folder = mkdtempSync(join(tmpdir(), 'forestall-'))
  const file = join(folder, 'ca.pem')
  writeFileSync(file, 'CA')
  const cert = '-----BEGIN CERTIFICATE-----'
  const parts = externalParts({
    KAFKA_BROKERS: 'a:1',
    KAFKA_TLS_CA: file,
    KAFKA_TLS_CERT: cert,
    KAFKA_TLS_KEY: cert,
  })
  expect(parts.kafka?.connection?.tls).toEqual({ ca: 'CA', cert, key: cert })
  rmSync(folder, { recursive: true })
})

test('credentials inside a URL are moved out of it', () => {
  const { registry } = externalParts({ SCHEMA_REGISTRY_URL: `https://me:${SECRET}%21@r:8081` })
  expect(registry).toEqual({ url: 'https://r:8081', user: 'me', password: `${SECRET}!` })
})

test('secrets do not appear where the connections are printed', () => {
  const parts = externalParts({
    KAFKA_BROKERS: 'a:9092',
    KAFKA_SASL_MECHANISM: 'PLAIN',
    KAFKA_SASL_USERNAME: 'me',
    KAFKA_SASL_PASSWORD: SECRET,
    CLICKHOUSE_URL: `http://u:${SECRET}@db:8123`,
    SCHEMA_REGISTRY_URL: `http://u:${SECRET}@r:8081`,
  })
  const printed = JSON.stringify(parts) + inspect(parts, { depth: 9 })
  expect(printed).toContain('"me"')
  expect(printed).not.toContain(SECRET)
})

test.each([
  [{ KAFKA_BROKERS: 'localhost' }, 'KAFKA_BROKERS must be host:port, several with commas between.'],
  [{ CLICKHOUSE_URL: `db:${SECRET}` }, 'CLICKHOUSE_URL must be an http:// or https:// URL.'],
  [{ KAFKA_TLS: 'true' }, 'KAFKA_TLS is set, but KAFKA_BROKERS is not.'],
  [{ KAFKA_BROKERS: 'a:1', KAFKA_TLS_CERT: 'x' }, 'KAFKA_TLS_CERT is set, but KAFKA_TLS_KEY is not.'],
  [{ KAFKA_BROKERS: 'a:1', KAFKA_TLS_CA: '/nowhere' }, 'KAFKA_TLS_CA is not a file that can be read.'],
  [
    { KAFKA_BROKERS: 'a:1', KAFKA_SASL_PASSWORD: SECRET },
    'KAFKA_SASL_PASSWORD is set, but KAFKA_SASL_MECHANISM is not.',
  ],
  [
    { KAFKA_BROKERS: 'a:1', KAFKA_SASL_MECHANISM: 'PLAIN', KAFKA_SASL_USERNAME: 'u' },
    'KAFKA_SASL_MECHANISM is set, but KAFKA_SASL_PASSWORD is not.',
  ],
  [{ CLICKHOUSE_PASSWORD: SECRET }, 'CLICKHOUSE_PASSWORD is set, but CLICKHOUSE_URL is not.'],
])('a setting that cannot work is named without its value: %o', (env, message) => {
  expect(refusal(env)).toBe(message)
})

test('an embedded registry is refused for an external Kafka, before anything starts', async () => {
  const error = await startStack({ kafka: { bootstrapBrokers: ['a:1'] }, dataDir: '/nowhere' }).catch(
    (it: unknown) => it,
  )
  expect(isError(error, 'REGISTRY_REQUIRED')).toBe(true)
})
