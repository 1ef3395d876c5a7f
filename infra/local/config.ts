import { readFileSync } from 'node:fs'
import { z } from 'zod'
import { ForestallError } from '#core/ports'
import { hidingSecrets } from './secrets.ts'

/** How to reach a Kafka; fits `createBroker`. */
export interface KafkaConnection {
  readonly bootstrapBrokers: readonly string[]
  readonly connection?: {
    readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string }
    readonly sasl?: {
      readonly mechanism: 'PLAIN' | 'SCRAM-SHA-256' | 'SCRAM-SHA-512'
      readonly username: string
      readonly password: string
    }
  }
}

/** How to reach a ClickHouse server; fits `createWarehouse`. */
export interface ClickHouseConnection {
  readonly url: string
  readonly user?: string
  readonly password?: string
  readonly database?: string
}

/** How to reach a schema registry; fits `createRegistryClient`. */
export interface RegistryConnection {
  readonly url: string
  readonly user?: string
  readonly password?: string
}

/** Parts that users bring; what is absent is embedded. */
export interface ExternalParts {
  readonly kafka?: KafkaConnection
  readonly clickhouse?: ClickHouseConnection
  readonly registry?: RegistryConnection
}

const text = z.string().min(1).optional()
const httpUrl = z.url({ protocol: /^https?$/, error: 'must be an http:// or https:// URL' }).optional()
const brokers = z
  .string()
  .regex(/^[^\s,]+:\d+(\s*,\s*[^\s,]+:\d+)*$/, 'must be host:port, several with commas between')
  .transform((list) => list.split(',').map((broker) => broker.trim()))
  .optional()

const Environment = z.object({
  KAFKA_BROKERS: brokers,
  KAFKA_TLS: z.enum(['true', 'false']).optional(),
  KAFKA_TLS_CA: text,
  KAFKA_TLS_CERT: text,
  KAFKA_TLS_KEY: text,
  KAFKA_SASL_MECHANISM: z.enum(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512']).optional(),
  KAFKA_SASL_USERNAME: text,
  KAFKA_SASL_PASSWORD: text,
  CLICKHOUSE_URL: httpUrl,
  CLICKHOUSE_USER: text,
  CLICKHOUSE_PASSWORD: z.string().optional(),
  CLICKHOUSE_DATABASE: text,
  SCHEMA_REGISTRY_URL: httpUrl,
  SCHEMA_REGISTRY_USER: text,
  SCHEMA_REGISTRY_PASSWORD: z.string().optional(),
})
type Settings = z.infer<typeof Environment>
type Name = keyof Settings

const invalid = (name: Name, problem: string): ForestallError =>
  new ForestallError('CONFIG_INVALID', `${name} ${problem}.`, { cure: `Change or unset ${name}.` })

/** Fields of `values` that are set. */
function defined<T extends object>(values: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const set = Object.entries(values).filter(([, value]) => value !== undefined)
  return Object.fromEntries(set) as { [K in keyof T]: Exclude<T[K], undefined> }
}

/** The settings named here make sense only together with `needed`. */
function requires(settings: Settings, needed: Name, names: readonly Name[]): void {
  const orphan = names.find((name) => settings[name] !== undefined)
  if (orphan && settings[needed] === undefined) throw invalid(orphan, `is set, but ${needed} is not`)
}

/** PEM text as it is, or the content of the file of that name. */
function pem(
  settings: Settings,
  name: 'KAFKA_TLS_CA' | 'KAFKA_TLS_CERT' | 'KAFKA_TLS_KEY',
): string | undefined {
  const value = settings[name]
  if (value === undefined || value.startsWith('-----BEGIN')) return value
  try {
    return readFileSync(value, 'utf8')
  } catch {
    throw invalid(name, 'is not a file that can be read')
  }
}

function tlsOf(settings: Settings): { tls: { ca?: string; cert?: string; key?: string } } | undefined {
  const { KAFKA_TLS, KAFKA_TLS_CA, KAFKA_TLS_CERT, KAFKA_TLS_KEY } = settings
  const named = [KAFKA_TLS_CA, KAFKA_TLS_CERT, KAFKA_TLS_KEY].some((value) => value !== undefined)
  if (KAFKA_TLS === 'false' || (KAFKA_TLS === undefined && !named)) return undefined
  requires(settings, 'KAFKA_TLS_KEY', ['KAFKA_TLS_CERT'])
  requires(settings, 'KAFKA_TLS_CERT', ['KAFKA_TLS_KEY'])
  const [ca, cert, key] = [
    pem(settings, 'KAFKA_TLS_CA'),
    pem(settings, 'KAFKA_TLS_CERT'),
    pem(settings, 'KAFKA_TLS_KEY'),
  ]
  return { tls: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) } }
}

function kafkaOf(settings: Settings): KafkaConnection | undefined {
  const { KAFKA_BROKERS: bootstrapBrokers, KAFKA_SASL_MECHANISM: mechanism } = settings
  const { KAFKA_SASL_USERNAME: username, KAFKA_SASL_PASSWORD: password } = settings
  requires(settings, 'KAFKA_BROKERS', [
    'KAFKA_TLS',
    'KAFKA_TLS_CA',
    'KAFKA_TLS_CERT',
    'KAFKA_TLS_KEY',
    'KAFKA_SASL_MECHANISM',
    'KAFKA_SASL_USERNAME',
    'KAFKA_SASL_PASSWORD',
  ])
  requires(settings, 'KAFKA_SASL_MECHANISM', ['KAFKA_SASL_USERNAME', 'KAFKA_SASL_PASSWORD'])
  requires(settings, 'KAFKA_SASL_USERNAME', ['KAFKA_SASL_MECHANISM'])
  requires(settings, 'KAFKA_SASL_PASSWORD', ['KAFKA_SASL_MECHANISM'])
  if (!bootstrapBrokers) return undefined
  const sasl = mechanism && username && password ? { sasl: { mechanism, username, password } } : undefined
  return hidingSecrets({ bootstrapBrokers, connection: { ...tlsOf(settings), ...sasl } })
}

/** Credentials inside the URL are moved out of it, so that the URL may be shown. */
function splitUrl(url: string): { url: string; user: string | undefined; password: string | undefined } {
  const parsed = new URL(url)
  const user = decodeURIComponent(parsed.username) || undefined
  const password = decodeURIComponent(parsed.password) || undefined
  parsed.username = ''
  parsed.password = ''
  return { url: parsed.href.replace(/\/+$/, ''), user, password }
}

function clickhouseOf(settings: Settings): ClickHouseConnection | undefined {
  requires(settings, 'CLICKHOUSE_URL', ['CLICKHOUSE_USER', 'CLICKHOUSE_PASSWORD', 'CLICKHOUSE_DATABASE'])
  if (settings.CLICKHOUSE_URL === undefined) return undefined
  const { url, user, password } = splitUrl(settings.CLICKHOUSE_URL)
  return hidingSecrets(
    defined({
      url,
      user: settings.CLICKHOUSE_USER ?? user,
      password: settings.CLICKHOUSE_PASSWORD ?? password,
      database: settings.CLICKHOUSE_DATABASE,
    }) as ClickHouseConnection,
  )
}

function registryOf(settings: Settings): RegistryConnection | undefined {
  requires(settings, 'SCHEMA_REGISTRY_URL', ['SCHEMA_REGISTRY_USER', 'SCHEMA_REGISTRY_PASSWORD'])
  if (settings.SCHEMA_REGISTRY_URL === undefined) return undefined
  const { url, user, password } = splitUrl(settings.SCHEMA_REGISTRY_URL)
  return hidingSecrets(
    defined({
      url,
      user: settings.SCHEMA_REGISTRY_USER ?? user,
      password: settings.SCHEMA_REGISTRY_PASSWORD ?? password,
    }) as RegistryConnection,
  )
}

/**
 * The parts that the environment names (KAFKA_BROKERS, CLICKHOUSE_URL, SCHEMA_REGISTRY_URL and what belongs to
 * them). An empty variable counts as unset. Throws CONFIG_INVALID with the variable's name, never its value.
 */
export function externalParts(env: Readonly<Record<string, string | undefined>>): ExternalParts {
  const set = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ''))
  const parsed = Environment.safeParse(set)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw invalid((issue?.path[0] ?? 'KAFKA_BROKERS') as Name, issue?.message ?? 'is invalid')
  }
  const settings = parsed.data
  return defined({
    kafka: kafkaOf(settings),
    clickhouse: clickhouseOf(settings),
    registry: registryOf(settings),
  }) as ExternalParts
}
