import type { RouteBody } from '#schemas'
import { ForestallError } from '#core/ports'
import {
  changedRing,
  HAS_FLOWS,
  type Route,
  singleRoute,
  type StreamRoutes,
  streamRoutes,
} from './stream-table.ts'

/** Where traffic goes while no decision stands. */
export interface DefaultRoute {
  readonly region: string
  readonly path: string
  /** Default 9: after everything that is decided. */
  readonly priority?: number
}

/** The safe default of this data plane. */
export interface RouteTableConfig {
  readonly defaultRoute: DefaultRoute
  /** Defaults of single streams. */
  readonly streamDefaults?: Readonly<Record<string, DefaultRoute>>
}

/** Answers "where does this flow go" from memory, without I/O. */
export interface RouteTable {
  /** A number for a stream, for `lookup`; the same name always gives the same number. */
  streamId(stream: string): number
  /**
   * Hot path, without allocation: index into `routes` for a flow of the stream. Use it at once: it stands until the
   * stream's routes have been replaced twice. An unknown number gives the default.
   */
  lookup(streamId: number, hash32: number): number
  /** The routes that `lookup` points into. */
  readonly routes: readonly Route[]
  /** By number or name of the stream (an unknown name gives the default and is not kept). */
  route(stream: number | string, hash32: number): Route
  /** Replaces the routes of one stream at once; returns the share of its ring that changed its path. Throws DATA_PLANE_REFUSED. */
  apply(body: RouteBody, decisionId: string): number
  /** What `apply` would change, 0..1. */
  preview(body: RouteBody): number
  /** Back to the configured default. */
  revert(stream: string): void
}

/** Compiled form: what the hot path reads, replaced by one store. */
class StreamTable {
  readonly shift: number
  readonly base: number
  readonly entries: Uint16Array
  readonly flows: Uint32Array
  readonly flowRoutes: Uint16Array
  readonly source: StreamRoutes

  constructor(source: StreamRoutes, base: number) {
    this.shift = source.shift
    this.base = base
    this.entries = source.entries
    this.flows = source.flows
    this.flowRoutes = source.flowRoutes
    this.source = source
  }

  flow(hash32: number, otherwise: number): number {
    const hash = hash32 >>> 0
    for (let i = 0; i < this.flows.length; i++)
      if (this.flows[i] === hash) return this.base + this.flowRoutes[i]!
    return this.base + otherwise
  }
}

/** Blocks of slots in one growing array; sizes are powers of two, freed blocks are used again. */
class RouteSlots {
  readonly routes: Route[] = []
  readonly #free = new Map<number, number[]>()

  /** Writes routes into a block; returns its first slot. */
  place(routes: readonly Route[]): number {
    const size = blockSize(routes)
    const base = this.#free.get(size)?.pop() ?? this.routes.length
    for (let i = 0; i < size; i++) this.routes[base + i] = routes[Math.min(i, routes.length - 1)]!
    return base
  }

  release(base: number, routes: readonly Route[]): void {
    const size = blockSize(routes)
    const blocks = this.#free.get(size)
    if (blocks === undefined) this.#free.set(size, [base])
    else blocks.push(base)
  }
}

const blockSize = (routes: readonly Route[]): number => 2 ** Math.ceil(Math.log2(routes.length))

function toDefault(route: DefaultRoute): Route {
  return {
    region: route.region,
    path: route.path,
    shardId: '',
    priority: route.priority ?? 9,
    decisionId: '',
  }
}

function checkDefault(name: string, route: DefaultRoute): void {
  if (route.region === '' || route.path === '')
    throw new ForestallError('CONFIG_INVALID', `${name} = ${JSON.stringify(route)}`, {
      cure: 'Name a region and a path.',
    })
}

/** An empty table: every stream takes its default until a decision is applied. Throws CONFIG_INVALID. */
export function createRouteTable(config: RouteTableConfig): RouteTable {
  const defaults = new Map(Object.entries(config.streamDefaults ?? {}))
  checkDefault('defaultRoute', config.defaultRoute)
  for (const [stream, route] of defaults) checkDefault(`streamDefaults.${stream}`, route)
  const slots = new RouteSlots()
  const common = singleRoute(toDefault(config.defaultRoute))
  const commonTable = new StreamTable(common, slots.place(common.routes))
  const ids = new Map<string, number>()
  const tables: StreamTable[] = []
  const retired: (StreamTable | undefined)[] = []

  const lookup = (streamId: number, hash32: number): number => {
    const table = tables[streamId]
    if (table === undefined) return commonTable.base
    const entry = table.entries[hash32 >>> table.shift]!
    return entry < HAS_FLOWS ? table.base + entry : table.flow(hash32, entry - HAS_FLOWS)
  }
  const defaultOf = (stream: string): Route => toDefault(defaults.get(stream) ?? config.defaultRoute)
  const replace = (id: number, next: StreamRoutes): number => {
    const table = new StreamTable(next, slots.place(next.routes))
    const last = tables[id]
    const old = retired[id]
    if (old !== undefined) slots.release(old.base, old.source.routes)
    retired[id] = last
    tables[id] = table
    return last === undefined ? 1 : changedRing(last.source, next)
  }
  const streamId = (stream: string): number => {
    const known = ids.get(stream)
    if (known !== undefined) return known
    const id = tables.length
    ids.set(stream, id)
    replace(id, singleRoute(defaultOf(stream)))
    return id
  }
  return {
    streamId,
    lookup,
    routes: slots.routes,
    route: (stream, hash32) => {
      const id = typeof stream === 'number' ? stream : ids.get(stream)
      return id === undefined && typeof stream === 'string'
        ? defaultOf(stream)
        : slots.routes[lookup(id ?? -1, hash32)]!
    },
    apply: (body, decisionId) => {
      const next = streamRoutes(body, decisionId, defaultOf(body.stream))
      return replace(streamId(body.stream), next)
    },
    preview: (body) => {
      const id = ids.get(body.stream)
      const now = id === undefined ? singleRoute(defaultOf(body.stream)) : tables[id]!.source
      return changedRing(now, streamRoutes(body, '', defaultOf(body.stream)))
    },
    revert: (stream) => {
      replace(streamId(stream), singleRoute(defaultOf(stream)))
    },
  }
}
