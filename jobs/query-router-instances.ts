import { setTimeout as delay } from 'node:timers/promises'
import type { RecordCodec } from '#core/codec'
import { type Broker, ForestallError, systemClock } from '#core/ports'
import { createHttpReplica, type HttpReplica } from '#infra/query-router'
import {
  type Applier,
  type AppliedReader,
  createAppliedWatch,
  createApplier,
  type LogLayout,
  storeFirstStates,
} from '../pipelines/data-sharding/dataplane.ts'
import { fencedStore, unstarted } from './query-router-fence.ts'

/** An instance behind a router. Its number is for ever: one that comes back has another. */
export interface RouterInstance {
  readonly number: number
  readonly name: string
  readonly url: string
  readonly store: HttpReplica
  /** What has been applied there, by whoever does. */
  readonly applied: AppliedReader
  /** Null while another router applies the log. Refuses what must not be done before it has started. */
  readonly applier: Applier | null
  /** Whether that applier has started. */
  readonly isApplied: boolean
}

/** What instances are opened with. */
export interface RouterInstancesOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly topic: string
  readonly layout: LogLayout
  /** Replicas of each segment where nothing is stored yet. */
  readonly replicas: number
  readonly credentials: readonly string[]
  /** Puts a mark into all partitions of the log at once; gives the offset behind it, by partition. */
  readonly markLog: () => Promise<ReadonlyMap<number, number>>
  /** Creates the tables of `source` at an instance that holds nothing. */
  readonly furnish: (source: RouterInstance, made: RouterInstance, applier: Applier) => Promise<void>
  /** Asked before anything is written to an instance: false once another router may apply the log. */
  readonly mayApply: () => boolean
  /** See `ApplierOptions`. */
  readonly settled: () => Promise<void>
  /** What is applied somewhere has changed by more than its position: an applier has started, or stopped. */
  readonly onChange: () => void
  readonly onWarning: (error: Error) => void
}

/** The instances of a router, which come and go, and who applies the log to them. */
export interface RouterInstances {
  /** Those that there are, in the order in which they came. */
  list(): readonly RouterInstance[]
  find(name: string): RouterInstance | undefined
  /** Begins to apply the log at every instance, or to watch another router do so; resolves once each has been tried. */
  lead(): Promise<void>
  standBy(): Promise<void>
  /** Takes an instance in; it holds nothing unless the service is new. */
  add(number: number, instance: { readonly name: string; readonly url: string }): Promise<RouterInstance>
  remove(name: string): Promise<void>
  stop(): Promise<void>
}

const FIRST_RETRY_MS = 200
const LONGEST_RETRY_MS = 5000
/** How long the start of a router waits for an instance that does not answer, ms. */
const PATIENCE_MS = 3000

/** Instances of which none is known yet. */
export function createRouterInstances(options: RouterInstancesOptions): RouterInstances {
  const { topic, credentials, onWarning } = options
  const present: Managed[] = []
  let role: 'lead' | 'stand by' | 'none' = 'none'

  async function openApplier(instance: Managed): Promise<Applier> {
    const store = fencedStore(instance.store, options.mayApply)
    await storeFirstStates({
      ...options,
      clock: systemClock,
      store,
      others: present.filter((it) => it !== instance).map((it) => it.store),
      place: present.indexOf(instance),
    })
    const made = createApplier({ ...options, instance: instance.name, store })
    await made.start()
    try {
      if (made.segments().length === 0) {
        await options.settled()
        await furnish(instance, made)
      }
      return made
    } catch (error) {
      await made.stop()
      throw error
    }
  }

  /** An instance that holds nothing gets the tables of one that does; where a service begins there is none. */
  async function furnish(instance: Managed, made: Applier): Promise<void> {
    const others = present.filter((it) => it !== instance)
    const source = others.find(({ applied }) => applied.segments().length > 0)
    if (source !== undefined) return options.furnish(source, instance, made)
    const states = (await Promise.all(others.map(({ store }) => store.loadApplied(topic)))).flat()
    if (states.some(({ segments }) => segments.length > 0))
      throw new ForestallError('WAREHOUSE_UNAVAILABLE', 'No instance with the tables answers yet.')
  }

  /** Starts what the role asks for, again and again until it has started. */
  async function take(instance: Managed): Promise<void> {
    const taken = instance.begin()
    if (role === 'stand by') {
      const watch = createAppliedWatch({ ...options, instance: instance.name, store: instance.store })
      await watch.start()
      return instance.watches(taken, watch)
    }
    for (
      let waitMs = FIRST_RETRY_MS;
      instance.isCurrent(taken);
      waitMs = Math.min(LONGEST_RETRY_MS, 2 * waitMs)
    ) {
      try {
        await instance.applies(taken, await openApplier(instance))
        options.onChange()
        return
      } catch (error) {
        onWarning(named(instance.name, error))
        await delay(waitMs, undefined, { ref: false })
      }
    }
  }

  const patiently = (work: Promise<unknown>): Promise<unknown> =>
    Promise.race([work, delay(PATIENCE_MS, undefined, { ref: false })])

  async function become(next: typeof role): Promise<void> {
    if (role === next) return
    role = next
    await Promise.all(present.map((instance) => instance.release()))
    if (next !== 'none') await patiently(Promise.all(present.map(take)))
    options.onChange()
  }

  return {
    list: () => present,
    find: (name) => present.find((it) => it.name === name),
    lead: () => become('lead'),
    standBy: () => become('stand by'),
    async add(number, { name, url }) {
      const made = createManaged(number, name, url, createHttpReplica(url, credentials))
      present.push(made)
      if (role !== 'none') await patiently(take(made))
      return made
    },
    async remove(name) {
      const at = present.findIndex((it) => it.name === name)
      const [gone] = at < 0 ? [] : present.splice(at, 1)
      await gone?.release()
      gone?.store.close()
    },
    async stop() {
      await become('none')
      for (const { store } of present) store.close()
    },
  }
}

function named(name: string, error: unknown): Error {
  if (error instanceof ForestallError)
    return new ForestallError(error.code, `Instance ${name}: ${error.message}`, {
      cause: error,
      cure: error.cure,
    })
  return new Error(`Instance ${name}: ${error instanceof Error ? error.message : String(error)}`)
}

interface Managed extends RouterInstance {
  /** Begins another role; what was begun before is void. */
  begin(): number
  isCurrent(taken: number): boolean
  applies(taken: number, applier: Applier): Promise<void>
  watches(taken: number, watch: ReturnType<typeof createAppliedWatch>): void
  /** Ends the present role. */
  release(): Promise<void>
}

function createManaged(number: number, name: string, url: string, store: HttpReplica): Managed {
  let turn = 0
  let applier: Applier = unstarted(name)
  let isLeading = false
  let isApplied = false
  let current: AppliedReader & { stop?: () => Promise<void> } = applier
  /** Aborted when another part takes over: whoever waits for a position waits there. */
  let changed = new AbortController()

  function change(next: typeof current): void {
    current = next
    const before = changed
    changed = new AbortController()
    before.abort()
  }

  /** Waits at whoever knows the position now. */
  async function wait(
    ask: (reader: AppliedReader, signal: AbortSignal) => Promise<boolean>,
    signal: AbortSignal,
  ): Promise<boolean> {
    for (;;) {
      const reached = await ask(current, AbortSignal.any([signal, changed.signal]))
      if (reached || signal.aborted) return reached
    }
  }

  const applied: AppliedReader = {
    next: (partition) => current.next(partition),
    nextOf: (segment) => current.nextOf(segment),
    segments: () => current.segments(),
    reached: (segment, offset, signal) => wait((at, both) => at.reached(segment, offset, both), signal),
    reachedPartition: (partition, offset, signal) =>
      wait((at, both) => at.reachedPartition(partition, offset, both), signal),
    health: () => current.health(),
  }

  return {
    number,
    name,
    url,
    store,
    applied,
    get applier() {
      return isLeading ? applier : null
    },
    get isApplied() {
      return isApplied
    },
    begin() {
      isLeading = true
      return ++turn
    },
    isCurrent: (taken) => taken === turn,
    async applies(taken, made) {
      if (taken !== turn) return made.stop()
      applier = made
      isApplied = true
      change(made)
    },
    watches(taken, watch) {
      isLeading = false
      if (taken !== turn) return void watch.stop()
      change(watch)
    },
    async release() {
      turn++
      const before = current
      applier = unstarted(name)
      isLeading = false
      isApplied = false
      change(applier)
      await before.stop?.()
    },
  }
}
