import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { topicSpec } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { type Broker, type Clock, ForestallError, mulberry32, type Random } from '#core/ports'
import { type AnsweredQuery, type QueryRouter, startQueryRouter } from '#infra/query-router'
import {
  type Applier,
  type AppliedReader,
  blockForAll,
  createAppliedView,
  createExpectedWork,
  createHedgeBudget,
  createInstancePicker,
  createLogWriter,
  createMoveWatch,
  createPlacementTable,
  createQueryPlanner,
  createStatementRouter,
  createWritePath,
  decodeTokens,
  encodeToken,
  fitsColumn,
  type InstancePicker,
  isRowFormat,
  type LoggedQuery,
  type LogWriter,
  type PlacementTable,
  readersOf,
  isInsertHead,
} from '../pipelines/data-sharding/dataplane.ts'
import type { QueryRouterConfig } from './query-router-config.ts'
import { createRouterInstances, type RouterInstance } from './query-router-instances.ts'
import { copySchema } from './query-router-schema.ts'
import type { RouterMeter } from './router-meter.ts'

/** A query router with everything behind it. */
export interface OpenRouter {
  readonly router: QueryRouter
  readonly placement: PlacementTable
  readonly picker: InstancePicker
  /** The instances that there are; numbers are places in what `picker` and `placement` say. */
  instances(): readonly RouterInstance[]
  /** Of the instances, in their order; none while another router applies the log. */
  readonly appliers: readonly Applier[]
  /** What has been applied at each instance, by whoever does; by number. */
  readonly applied: readonly AppliedReader[]
  readonly writer: LogWriter
  /** Name of the write log's topic. */
  readonly topic: string
  /** Applies the log from now on, or leaves that to another router. Of several at once the last one counts. */
  lead(): Promise<void>
  standBy(): Promise<void>
  /** Resolves once every segment has somebody who answers reads of it: at a new service, once a router leads. */
  placed(signal: AbortSignal): Promise<void>
  /** Told who places segments from now on: called whenever an instance begins or ends to hold some. Null: nobody does. */
  placeBy(refresh: (() => void) | null): void
  /**
   * Takes an instance in: tables that it has not are created, and it holds nothing until moves bring it segments.
   * Throws REQUEST_INVALID for a name that is taken.
   */
  add(instance: { readonly name: string; readonly url: string }): Promise<void>
  /** Takes an instance out. Throws REQUEST_INVALID for one that holds segments, NOT_FOUND for one that is not there. */
  remove(name: string): Promise<void>
  /** Answers nothing more; resolves once what is under way is answered. */
  drain(): Promise<void>
  stop(): Promise<void>
}

/** What a router is opened with. */
export interface OpenRouterOptions {
  readonly config: QueryRouterConfig
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly clock: Clock
  /** '' for live. */
  readonly topicPrefix?: string
  readonly password?: string
  readonly random?: Random
  /** Leaves the log to others until `lead`. Default: what `apply` does not say. */
  readonly standsBy?: boolean
  /** Asked before anything of the log is written to an instance. Default: always. */
  readonly mayApply?: () => boolean
  /** Resolves once nothing is carried out any more that a router before this one has sent. Default: at once. */
  readonly settled?: () => Promise<void>
  /** Told of every statement that one instance has answered; must be quick and not throw. */
  readonly onQuery?: (query: LoggedQuery) => void
  /** Counts what goes through. */
  readonly meter?: Pick<RouterMeter, 'planned' | 'written'>
  readonly onWarning: (error: Error) => void
}

const MOVES = 'state.data.moves'
/** How often a router that stands by looks who holds what, ms. */
const LOOK_MS = 200
const PLACED_MS = 20

/** Opens log, appliers and server; the topics of the write log and of moves are created if they are missing. */
export async function openQueryRouter(options: OpenRouterOptions): Promise<OpenRouter> {
  const { config, broker, codec, clock, onWarning, topicPrefix = '' } = options
  const { segments, partitions, service } = config
  // One log for each service: its partitions are its own.
  const spec = { ...topicSpec('writes.data', { prefix: topicPrefix, partitions }) }
  const topic = `${spec.name}.${service}`
  const moves = topicSpec(MOVES, { prefix: topicPrefix })
  await ensureTopics(broker, [{ ...spec, name: topic }, moves])
  await codec.prepare([{ topic, record: 'WriteBlock' }])

  const credentials = credentialsOf(config.user, options.password)
  const layout = { service, segments, partitions }
  const placement = createPlacementTable(segments, [])
  const picker = createInstancePicker([], options.random ?? mulberry32(clock.nowMs()))
  const writer = createLogWriter({ broker, codec, topic, clock, onWarning })
  const watch = createMoveWatch({
    broker,
    codec,
    topic: moves.name,
    service,
    onChange: () => refresh(),
    onWarning,
  })
  const set = createRouterInstances({
    broker,
    codec,
    topic,
    layout,
    replicas: config.replicas,
    credentials,
    async markLog() {
      const marks = blockForAll(layout, 'mark', {
        id: randomUUID(),
        database: '',
        statement: '',
        issuedAtMs: clock.nowMs(),
      })
      const places = await writer.appendInOrder(marks)
      return new Map(places.map(({ partition, offset }) => [partition, offset + 1]))
    },
    furnish: (source, made, applier) => copySchema(source, made, applier, config.tables, credentials),
    mayApply: options.mayApply ?? (() => true),
    settled: options.settled ?? (() => Promise.resolve()),
    onChange: () => refresh(),
    onWarning,
  })

  /** By number, those that are gone among them. */
  const applied: AppliedReader[] = []
  const replicas: { name: string; applier: AppliedReader; store: RouterInstance['store'] }[] = []
  let members: readonly number[] = []
  /** Those of the members that have begun: one that is new has no tables before. */
  let begun: readonly number[] = []
  let placed: (() => void) | null = null

  /** Without a mover here, whoever holds a segment answers reads of it, but for what moves under way say. */
  function refresh(): void {
    begun = members.filter((number) => (applied[number]?.health().partitions.length ?? 0) > 0)
    if (placed !== null) return placed()
    const list = set.list().filter(({ number }) => members.includes(number))
    const states = [...watch.states()]
    for (let segment = 0; segment < segments; segment++) {
      const holders = list.flatMap(({ name, applied: at }) => (at.nextOf(segment) >= 0 ? [name] : []))
      const readers = readersOf(segment, states, holders)
      placement.set(
        segment,
        readers.map((instance) => ({ instance, weight: 1 / readers.length })),
      )
    }
  }

  async function admit(instance: { readonly name: string; readonly url: string }): Promise<RouterInstance> {
    const number = picker.add(instance.name)
    const made = await set.add(number, instance)
    applied[number] = made.applied
    replicas.push({ name: made.name, applier: made.applied, store: made.store })
    placement.add(made.name, number)
    return made
  }

  for (const instance of config.instances) await admit(instance)
  members = set.list().map(({ number }) => number)
  await Promise.all([writer.start(), watch.start()])
  await (config.apply && options.standsBy !== true ? set.lead() : set.standBy())
  refresh()

  const view = createAppliedView(applied, partitions)
  const rules = {
    segments,
    tables: config.tables,
    fanOut: config.fanOut,
    changes: config.changes === 'all' ? ('all' as const) : ('refuse' as const),
    expressions: config.expressions,
  }
  const homeName = config.home ?? config.instances[0]?.name ?? ''
  const home = set.find(homeName)?.number ?? 0
  const planner = createQueryPlanner(
    createStatementRouter(rules),
    placement,
    () => (begun.length > 0 ? begun : members),
    home,
    (instance) => picker.isOut(instance),
  )
  const { meter } = options
  const plan = (request: Parameters<typeof planner.plan>[0]) => planner.plan(request)
  const log = createWritePath({ layout, topic, writer, view, replicas, clock })
  const router = await startQueryRouter({
    instances: config.instances,
    members: () => members,
    host: config.host,
    port: config.port,
    credentials,
    plan: meter?.planned(plan) ?? plan,
    isInsertHead,
    isRowFormat,
    fitsKey: (rule, columnType) => fitsColumn(rule.keyType, columnType),
    freshness: {
      ...view,
      decode: (tokens) => decodeTokens(tokens, topic),
      encode: (positions) => encodeToken(positions, topic),
    },
    log: meter?.written(log) ?? log,
    picker,
    health: () => {
      const views = picker.view(performance.now())
      return {
        service,
        applies: set.list().some(({ applier }) => applier !== null),
        instances: members.map((number) => views[number]),
        replicas: set.list().map((it) => it.applied.health()),
      }
    },
    ...(options.onQuery === undefined
      ? {}
      : { onQuery: loggedQueries((number) => picker.view(0)[number]?.name ?? '', options.onQuery) }),
    expectation: createExpectedWork(),
    hedging: createHedgeBudget(),
    options: {
      hedge: config.hedge,
      acknowledge: config.acknowledge,
      allowsExpressions: config.expressions === 'evaluate',
      bindsSessions: config.bindSessions,
      freshWithinMs: config.freshWithinMs,
      allowsChanges: config.changes !== 'refuse',
    },
  }).catch(async (error: unknown) => {
    await Promise.all([watch.stop(), set.stop(), writer.close()])
    throw portError(error, config)
  })
  const looking = setInterval(() => (placed === null ? refresh() : undefined), LOOK_MS).unref()
  let draining: Promise<void> | null = null
  const drain = (): Promise<void> => (draining ??= router.stop())

  return {
    router,
    placement,
    picker,
    instances: () => set.list(),
    get appliers() {
      return set.list().flatMap(({ applier }) => applier ?? [])
    },
    applied,
    writer,
    topic,
    lead: () => set.lead(),
    standBy: () => set.standBy(),
    async placed(signal) {
      const isPlaced = (): boolean =>
        Array.from({ length: segments }, (_, s) => placement.readable(s).length).every((n) => n > 0)
      while (!isPlaced() && !signal.aborted) await delay(PLACED_MS)
    },
    placeBy(next) {
      placed = next
      refresh()
    },
    async add(instance) {
      if (set.find(instance.name) !== undefined)
        throw new ForestallError('REQUEST_INVALID', `There is an instance ${instance.name} already.`)
      router.add(instance)
      const made = await admit(instance)
      members = [...members, made.number]
      refresh()
    },
    async remove(name) {
      const found = set.find(name)
      if (found === undefined) throw new ForestallError('NOT_FOUND', `There is no instance ${name}.`)
      const held = found.applied.segments().length
      if (held > 0 || found.number === home) {
        const why =
          held > 0 ? `holds ${held} segments: move them first` : 'has the tables that are not sharded'
        throw new ForestallError('REQUEST_INVALID', `Instance ${name} ${why}.`)
      }
      members = members.filter((number) => number !== found.number)
      refresh()
      picker.remove(found.number)
      replicas.splice(
        replicas.findIndex((it) => it.name === name),
        1,
      )
      router.remove(found.number)
      await set.remove(name)
      placement.remove(name)
    },
    drain,
    async stop() {
      clearInterval(looking)
      await drain()
      await watch.stop()
      await set.stop()
      await writer.close()
    },
  }
}

/** Names what the router counts. */
const loggedQueries =
  (nameOf: (number: number) => string, onQuery: (query: LoggedQuery) => void) =>
  ({ plan, instance, elapsedMs, failed }: AnsweredQuery): void =>
    onQuery({
      keys: plan.keys,
      operation: plan.operation,
      instance: nameOf(instance),
      durationMs: elapsedMs,
      failed,
    })

/** A port that cannot be had is a matter of the settings. */
function portError(error: unknown, { host, port }: QueryRouterConfig): unknown {
  const { code = '', message } = error as NodeJS.ErrnoException
  if (!['EADDRINUSE', 'EACCES', 'EADDRNOTAVAIL', 'ENOTFOUND'].includes(code)) return error
  return new ForestallError(
    'CONFIG_INVALID',
    `Nobody can listen on host ${host}, port ${port}: ${message}.`,
    {
      cause: error,
      cure: 'Set "host" and "port" to an address of this machine that is free.',
    },
  )
}

async function ensureTopics(broker: Broker, specs: ReturnType<typeof topicSpec>[]): Promise<void> {
  const admin = broker.admin()
  try {
    const existing = new Set(await admin.listTopics())
    await admin.ensureTopics(specs.filter(({ name }) => !existing.has(name)))
  } finally {
    await admin.close()
  }
}

/** Headers that name the user of the router; none for the default user without a password. */
function credentialsOf(user: string | undefined, password: string | undefined): string[] {
  if (user === undefined) return []
  return ['X-ClickHouse-User', user, 'X-ClickHouse-Key', password ?? '']
}
