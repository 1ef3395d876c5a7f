import { readFileSync } from 'node:fs'
import type { RouteBody } from '#schemas'
import { type DecisionApplier, ForestallError } from '#core/ports'
import { createHaproxyApplier } from '#infra/haproxy'
import { createRouteApplier, createRouteTable } from '../pipelines/traffic-routing/dataplane.ts'

/** What a follower of routes puts decisions into. */
export interface Target {
  readonly applier: DecisionApplier<RouteBody>
  start(): void
  stop(): Promise<void>
}

/** Names of streams and regions in the configuration of a HAProxy; what is not named is called as it is. */
interface NameMap {
  readonly backends?: Readonly<Record<string, string>>
  readonly servers?: Readonly<Record<string, string>>
  /** `host:port` of servers that a backend may lack: they are added. */
  readonly addresses?: Readonly<Record<string, string>>
}

const isTextTable = (value: unknown): value is Readonly<Record<string, string>> | undefined =>
  value === undefined ||
  (typeof value === 'object' && value !== null && Object.values(value).every((v) => typeof v === 'string'))

function isNameMap(value: unknown): value is NameMap {
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).every(
    ([name, table]) => ['backends', 'servers', 'addresses'].includes(name) && isTextTable(table),
  )
}

function readMap(file: string): NameMap {
  const cure =
    'Write {"backends": {stream: backend}, "servers": {region: server}, "addresses": {server: "host:port"}}.'
  let map: unknown
  try {
    map = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new ForestallError('CONFIG_INVALID', `--map ${file} is not a JSON file.`, { cause, cure })
  }
  if (!isNameMap(map))
    throw new ForestallError('CONFIG_INVALID', `--map ${file} has another shape.`, { cure })
  return map
}

/** Letters that HAProxy does not allow in names become `_`. */
const haproxyName = (name: string): string => name.replaceAll(/[^\w.:-]/g, '_')

/** A HAProxy on this machine. Throws CONFIG_INVALID for a map that cannot be read. */
export function haproxyTarget(
  socketPath: string,
  mapFile: string | undefined,
  onWarning: (error: Error) => void,
): Target {
  const map = mapFile === undefined ? {} : readMap(mapFile)
  const applier = createHaproxyApplier({
    socketPath,
    backendOf: (stream) => map.backends?.[stream] ?? haproxyName(stream),
    serverOf: (region) => map.servers?.[region] ?? haproxyName(region),
    addressOf: (server) => map.addresses?.[server] ?? null,
    onWarning,
  })
  return { applier, start: () => applier.start(), stop: () => applier.stop() }
}

/** A route table in this process: what an application with the SDK would hold. */
export function routeTableTarget(): Target {
  const table = createRouteTable({ defaultRoute: { region: 'default', path: 'default' } })
  return { applier: createRouteApplier(table), start: () => {}, stop: () => Promise.resolve() }
}
