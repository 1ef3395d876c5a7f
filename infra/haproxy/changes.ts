import { ForestallError } from '#core/ports'
import type { HaproxyClient } from './client.ts'
import type { ServerState } from './tables.ts'
import { weightsOf } from './weights.ts'

/** One command to a backend. */
export type ServerChange =
  | { kind: 'add'; server: string; address: string; weight: number }
  | { kind: 'weight'; server: string; weight: number }
  | { kind: 'ready' | 'drain' | 'delete'; server: string }

/** How a backend is to be changed. */
export interface ChangeOptions {
  /** Stop new connections to servers with weight 0 even where a cookie or a table sends them there. */
  drainAtZero: boolean
  /** Address of a server that is not in the backend; null or absent: it cannot be added. */
  addressOf?: ((server: string) => string | null) | undefined
}

/**
 * The fewest commands that give each server of a backend its share; servers without a share get weight 0.
 * What gains comes before what loses, so that the backend is never without a server. Pure.
 * Throws DATA_PLANE_REFUSED if a server with a share neither exists nor can be added.
 */
export function changesFor(
  backend: string,
  shares: ReadonlyMap<string, number>,
  now: readonly ServerState[],
  options: ChangeOptions,
): ServerChange[] {
  const weights = weightsOf(shares)
  const known = new Set(now.map((s) => s.server))
  const gains: ServerChange[] = []
  const losses: ServerChange[] = []
  for (const [server, weight] of weights) {
    if (known.has(server) || weight === 0) continue
    const address = options.addressOf?.(server) ?? null
    if (address === null) {
      throw new ForestallError('DATA_PLANE_REFUSED', `Backend ${backend} has no server ${server}.`)
    }
    gains.push({ kind: 'add', server, address, weight })
  }
  for (const state of now) {
    const weight = weights.get(state.server) ?? 0
    const { server } = state
    const list = weight > state.weight || (weight > 0 && state.isDraining) ? gains : losses
    if (weight !== state.weight) list.push({ kind: 'weight', server, weight })
    if (weight > 0 && (state.isDraining || state.isInMaintenance)) list.push({ kind: 'ready', server })
    if (weight === 0 && options.drainAtZero && !state.isDraining && !state.isInMaintenance) {
      list.push({ kind: 'drain', server })
    }
  }
  return [...gains, ...losses]
}

/** The commands that bring a backend back to its configuration file; `added` servers are removed. Pure. */
export function changesToDefault(
  now: readonly ServerState[],
  added: ReadonlySet<string>,
  configured: (state: ServerState) => number,
): ServerChange[] {
  const changes: ServerChange[] = []
  for (const state of now) {
    if (added.has(state.server)) continue
    const weight = configured(state)
    if (state.weight !== weight) changes.push({ kind: 'weight', server: state.server, weight })
    if (state.isDraining) changes.push({ kind: 'ready', server: state.server })
  }
  for (const { server } of now) if (added.has(server)) changes.push({ kind: 'delete', server })
  return changes
}

/** Sends one change. */
export async function perform(
  client: HaproxyClient,
  backend: string,
  change: ServerChange,
  serverOptions: string,
): Promise<void> {
  const { server } = change
  switch (change.kind) {
    case 'add':
      return client.addServer(backend, server, change.address, `weight ${change.weight} ${serverOptions}`)
    case 'weight':
      return client.setWeight(backend, server, change.weight)
    case 'delete':
      return client.deleteServer(backend, server)
    default:
      return client.setState(backend, server, change.kind)
  }
}

/** A change in words, for acks and previews. */
export const describeChange = (change: ServerChange): string =>
  'weight' in change ? `${change.kind} ${change.server} ${change.weight}` : `${change.kind} ${change.server}`
