import type { Ack, RouteBody } from '#schemas'
import {
  type Decision,
  type DecisionApplier,
  ForestallError,
  isError,
  systemTimers,
  type TimerHandle,
  type Timers,
} from '#core/ports'
import { changesFor, changesToDefault, describeChange, perform, type ServerChange } from './changes.ts'
import { createHaproxyClient, type HaproxyClient } from './client.ts'
import type { ServerState } from './tables.ts'
import { meanShares, regionShares, weightsOf } from './weights.ts'

/** Settings of an applier. */
export interface HaproxyApplierOptions {
  /** The stats socket, `level admin`. */
  socketPath: string
  /** The backend that carries a stream; null: none of ours, its decisions are refused. Several streams may share one. */
  backendOf: (stream: string) => string | null
  /** The server that stands for a region. */
  serverOf: (region: string) => string
  /** Address (`host:port`) of the server of a region that a backend lacks: it is then added. */
  addressOf?: (server: string) => string | null
  /** Keywords for added servers, for example `check inter 1s`. */
  serverOptions?: string
  /** Drain servers with weight 0. Default true. */
  drainAtZero?: boolean
  /** Safe default of a server; the weight of HAProxy's configuration file by default. */
  defaultWeightOf?: (backend: string, server: string) => number | undefined
  /** How often to look whether HAProxy has been reloaded or restarted. Default 500 ms. */
  pollMs?: number
  timers?: Timers
  onWarning?: (error: Error) => void
}

/** Puts route decisions into force at one HAProxy. */
export interface HaproxyApplier extends DecisionApplier<RouteBody> {
  /** Watches for reloads and restarts, after which everything held is applied again. */
  start: () => void
  stop: () => Promise<void>
  health: () => { reachable: boolean; pid: number; commands: number; reapplied: number; streams: number }
}

/** An applier; it watches only between `start` and `stop`. Nothing of what it did persists in HAProxy. */
export function createHaproxyApplier(options: HaproxyApplierOptions): HaproxyApplier {
  const { backendOf, serverOf, drainAtZero = true, pollMs = 500, timers = systemTimers } = options
  const client: HaproxyClient = createHaproxyClient({ socketPath: options.socketPath })
  /** Shares that each stream wants of its backend. */
  const wanted = new Map<string, { backend: string; shares: Map<string, number> }>()
  /** Servers that we added, by backend. */
  const added = new Map<string, Set<string>>()
  const state = { pid: 0, reachable: false, commands: 0, reapplied: 0, watching: false }
  let timer: TimerHandle | null = null
  /** Calls one after another: they read, change and read again. */
  let queue: Promise<unknown> = Promise.resolve()

  function inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = queue.then(work)
    queue = turn.catch(() => undefined)
    return turn
  }

  const addedTo = (backend: string): Set<string> => {
    const names = added.get(backend) ?? new Set<string>()
    added.set(backend, names)
    return names
  }

  function backendFor(stream: string): string {
    const backend = backendOf(stream)
    if (backend !== null) return backend
    throw new ForestallError('DATA_PLANE_REFUSED', `No backend carries stream ${stream}.`)
  }

  const sharesOf = (decision: Decision<RouteBody>): Map<string, number> => {
    const shares = new Map<string, number>()
    for (const [region, share] of regionShares(decision.body.paths)) {
      const server = serverOf(region)
      shares.set(server, (shares.get(server) ?? 0) + share)
    }
    return shares
  }

  const configured = (s: ServerState): number =>
    options.defaultWeightOf?.(s.backend, s.server) ?? s.configuredWeight

  /** What the backend needs if `stream` wanted `shares` (null: nothing any more). */
  async function planFor(
    backend: string,
    stream: string,
    shares: Map<string, number> | null,
  ): Promise<ServerChange[]> {
    const others = [...wanted].filter(([name, w]) => name !== stream && w.backend === backend)
    const all = [...others.map(([, w]) => w.shares), ...(shares === null ? [] : [shares])]
    const now = await client.showServersState(backend)
    if (all.length === 0) return changesToDefault(now, addedTo(backend), configured)
    return changesFor(backend, meanShares(all), now, { drainAtZero, addressOf: options.addressOf })
  }

  async function run(backend: string, changes: readonly ServerChange[]): Promise<void> {
    for (const change of changes) {
      if (change.kind === 'add') addedTo(backend).add(change.server)
      try {
        await perform(client, backend, change, options.serverOptions ?? '')
      } catch (e) {
        // A server with connections cannot be removed yet; it is in maintenance and harmless.
        if (change.kind !== 'delete' || !isError(e, 'DATA_PLANE_REFUSED')) throw changedHalf(e)
      }
      if (change.kind === 'delete') addedTo(backend).delete(change.server)
      state.commands++
    }
  }

  async function bring(backend: string, stream: string, shares: Map<string, number> | null): Promise<number> {
    const changes = await planFor(backend, stream, shares)
    await run(backend, changes)
    if (changes.length === 0) return 0
    const left = (await planFor(backend, stream, shares)).filter((c) => c.kind !== 'delete')
    if (left.length === 0) return changes.length
    throw new Error(`HAProxy took the commands but still needs: ${left.map(describeChange).join(', ')}`)
  }

  async function noteProcess(): Promise<boolean> {
    const { pid } = await client.showInfo()
    const isNew = state.pid !== 0 && state.pid !== pid
    // A new process knows nothing of servers added to the old one.
    if (isNew) added.clear()
    state.pid = pid
    state.reachable = true
    return isNew
  }

  async function reapply(): Promise<void> {
    for (const [stream, { backend, shares }] of wanted) await bring(backend, stream, shares)
    state.reapplied++
  }

  async function watch(): Promise<void> {
    try {
      if (await noteProcess()) await reapply()
    } catch (e) {
      if (isError(e, 'DATA_PLANE_UNREACHABLE')) state.reachable = false
      else state.pid = -1 // Seen as a new process at the next look: what failed is tried again.
      if (e instanceof Error) options.onWarning?.(e)
    }
  }

  function look(): void {
    if (!state.watching) return
    timer = timers.after(pollMs, () => {
      inTurn(watch).then(look, look)
    })
  }

  async function applyNow(decision: Decision<RouteBody>): Promise<Ack['observed']> {
    const { entity } = decision
    const backend = backendFor(entity)
    const shares = sharesOf(decision)
    // A reload that happened since the last look: everything else must be put back too.
    if (await noteProcess()) await reapply()
    const commands = await bring(backend, entity, shares)
    wanted.set(entity, { backend, shares })
    const observed: Ack['observed'] = { backend, commands: String(commands), pid: String(state.pid) }
    for (const s of await client.showServersState(backend)) {
      observed[`weight:${s.server}`] = s.isDraining ? 'drain' : String(s.weight)
    }
    return observed
  }

  return {
    apply: (decision) => inTurn(() => applyNow(decision)),
    revert: (entity) =>
      inTurn(async () => {
        wanted.delete(entity)
        const backend = backendOf(entity)
        if (backend !== null) await bring(backend, entity, null)
      }),
    preview: (decision) =>
      inTurn(async () => {
        const backend = backendFor(decision.entity)
        const changes = await planFor(backend, decision.entity, sharesOf(decision))
        const weights = [...weightsOf(sharesOf(decision))].map(([s, w]) => `${s}=${w}`)
        return { backend, would: changes.map(describeChange).join(', '), weights: weights.join(' ') }
      }),
    start() {
      if (state.watching) return
      state.watching = true
      inTurn(watch).then(look, look)
    },
    async stop() {
      state.watching = false
      timer?.cancel()
      await queue
    },
    health: () => ({
      reachable: state.reachable,
      pid: state.pid,
      commands: state.commands,
      reapplied: state.reapplied,
      streams: wanted.size,
    }),
  }
}

/** Once a command has been sent, a refusal no longer means that nothing was changed. */
const changedHalf = (e: unknown): unknown =>
  isError(e, 'DATA_PLANE_REFUSED') ? new Error(e.message, { cause: e }) : e
