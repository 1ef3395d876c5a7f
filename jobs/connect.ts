import { existsSync, readFileSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { join } from 'node:path'
import { createCodec, type RecordCodec } from '#core/codec'
import { type Broker, ForestallError, type Warehouse } from '#core/ports'
import { createWarehouse } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import {
  type ClickHouseConnection,
  type ExternalParts,
  externalParts,
  type KafkaConnection,
  type RegistryConnection,
} from '#infra/local'
import { createRegistryClient } from '#infra/registry'

/** A command that somebody waits for gives up sooner than a worker. */
const PATIENCE_MS = 10_000
const PROBE_MS = 1000

/** The database of live rows, `forestall` unless it is named; rows of a replay have one of their own beside it. */
export function databaseOf(prefix = '', live = 'forestall'): string {
  return prefix === '' ? live : `${live}_${prefix.replaceAll(/[^A-Za-z0-9]+/g, '_')}`.replace(/_$/, '')
}

/** Where the parts are: those that the environment names, the others in the stack that runs on a data folder. */
export interface Connections {
  /** Throws SERVICE_MISSING if there is neither. */
  kafka(): Promise<KafkaConnection>
  clickhouse(): Promise<ClickHouseConnection>
  /** Throws REGISTRY_REQUIRED for an external Kafka without a registry. */
  registry(): Promise<RegistryConnection>
}

type PartName = 'kafka' | 'clickhouse' | 'registry'
const VARIABLES = { kafka: 'KAFKA_BROKERS', clickhouse: 'CLICKHOUSE_URL', registry: 'SCHEMA_REGISTRY_URL' }

/** True if something accepts connections at this port of the loopback interface. */
export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket({ host: '127.0.0.1', port, timeout: PROBE_MS })
    const end = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.once('connect', () => end(true))
    socket.once('error', () => end(false))
    socket.once('timeout', () => end(false))
  })
}

/** The port of a part of the stack that runs on a data folder. Throws SERVICE_MISSING if it does not run. */
async function portOf(part: PartName, dataDir: string): Promise<number> {
  const file = join(dataDir, 'ports.json')
  const ports = existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as Partial<Record<PartName, number>>)
    : {}
  const port = ports[part]
  if (port !== undefined && (await isListening(port))) return port
  throw new ForestallError(
    'SERVICE_MISSING',
    `${VARIABLES[part]} is not set, and no ${part} of a stack runs on ${dataDir}.`,
    { cure: `Start one with \`npm start\` in another terminal, or set ${VARIABLES[part]}.` },
  )
}

/** Finds the parts for a command. Throws CONFIG_INVALID for a variable that cannot be. */
export function findConnections(
  dataDir: string,
  env: Readonly<Record<string, string | undefined>> = process.env,
): Connections {
  const external: ExternalParts = externalParts(env)
  return {
    async kafka() {
      return external.kafka ?? { bootstrapBrokers: [`127.0.0.1:${await portOf('kafka', dataDir)}`] }
    },
    async clickhouse() {
      return external.clickhouse ?? { url: `http://127.0.0.1:${await portOf('clickhouse', dataDir)}` }
    },
    async registry() {
      if (external.registry !== undefined) return external.registry
      if (external.kafka !== undefined)
        throw new ForestallError('REGISTRY_REQUIRED', 'KAFKA_BROKERS is set, but SCHEMA_REGISTRY_URL is not.')
      return { url: `http://127.0.0.1:${await portOf('registry', dataDir)}` }
    },
  }
}

const ROUTES = '.decisions.traffic.routes'

/**
 * The replay that a name means: itself, '' for live, and for `latest` the one that began last. Runs of `up` are
 * named by when they began, in base 36. Throws NOT_FOUND if there is none.
 */
export async function findReplay(found: Connections, name: string): Promise<string> {
  if (name !== 'latest') return name
  const broker = await openBroker(found, 'forestall')
  try {
    const beganMs = (id: string): number => Number.parseInt(/-([0-9a-z]{8,9})$/.exec(id)?.[1] ?? '0', 36)
    const names = (await broker.admin().listTopics())
      .filter((topic) => topic.endsWith(ROUTES))
      .map((topic) => topic.slice(0, -ROUTES.length))
      .sort((a, b) => beganMs(b) - beganMs(a))
    const [last] = names
    if (last !== undefined) return last
    throw new ForestallError('NOT_FOUND', 'There is no replay and no demo in this Kafka.', {
      cure: 'Start one with `npm start`, or leave --replay-id out for live decisions.',
    })
  } finally {
    await broker.close()
  }
}

/** A broker for one command. */
export async function openBroker(
  found: Connections,
  clientId: string,
  retryForMs = PATIENCE_MS,
): Promise<Broker> {
  return createBroker({ ...(await found.kafka()), clientId, retryForMs })
}

/** A codec on the registry that belongs to the broker. */
export async function openCodec(found: Connections): Promise<RecordCodec> {
  return createCodec(createRegistryClient(await found.registry()))
}

/** The warehouse with the rows of the topics of this prefix. */
export async function openWarehouse(found: Connections, prefix = ''): Promise<Warehouse> {
  const connection = await found.clickhouse()
  return createWarehouse({ ...connection, database: databaseOf(prefix, connection.database), attempts: 2 })
}

/**
 * The same for a command that reads rows which others have written. Throws NOT_FOUND where there never were any, since
 * live rows and those of each run are in databases of their own.
 */
export async function openRows(found: Connections, prefix = ''): Promise<Warehouse> {
  const warehouse = await openWarehouse(found, prefix)
  try {
    await warehouse.query('SELECT 1')
    return warehouse
  } catch (error) {
    await warehouse.close()
    if (!(error instanceof ForestallError && error.message.includes('UNKNOWN_DATABASE'))) throw error
    throw new ForestallError(
      'NOT_FOUND',
      `ClickHouse has no rows of ${prefix === '' ? 'live topics' : prefix.replace(/\.$/, '')}.`,
      {
        cause: error,
        cure: 'Rows come with `forestall stream`. A run of up or replay has its own: add --replay-id NAME, or latest.',
      },
    )
  }
}
