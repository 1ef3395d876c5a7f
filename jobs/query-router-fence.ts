import { ForestallError } from '#core/ports'
import type { HttpReplica } from '#infra/query-router'
import type { Applier } from '../pipelines/data-sharding/dataplane.ts'

/** Saves of one router in a ms: far fewer. */
const VERSIONS_PER_MS = 1000

/**
 * A replica that takes nothing from a router whose turn is over. Positions that it stores are numbered by the time at
 * which the router took over, so that what a predecessor may still store never stands.
 */
export function fencedStore(store: HttpReplica, mayApply: () => boolean): HttpReplica {
  const check = (): void => {
    if (!mayApply())
      throw new ForestallError('WAREHOUSE_UNAVAILABLE', 'Another router applies the log by now.')
  }
  return {
    ...store,
    async insert(...args) {
      check()
      return store.insert(...args)
    },
    async loadApplied(log) {
      const least = Date.now() * VERSIONS_PER_MS
      const states = await store.loadApplied(log)
      return states.map((state) => ({ ...state, version: Math.max(state.version, least) }))
    },
    async saveApplied(log, state) {
      check()
      return store.saveApplied(log, state)
    },
    async runStatement(...args) {
      check()
      return store.runStatement(...args)
    },
  }
}

/** Stands for an applier of an instance that has not answered yet: it holds nothing, and refuses to. */
export function unstarted(name: string): Applier {
  const refuse = (): Promise<never> =>
    Promise.reject(
      new ForestallError('WAREHOUSE_UNAVAILABLE', `Nothing is applied at instance ${name} at present.`),
    )
  const untilEnd = (signal: AbortSignal): Promise<boolean> =>
    new Promise((resolve) => {
      if (signal.aborted) return resolve(false)
      signal.addEventListener('abort', () => resolve(false), { once: true })
    })
  return {
    start: refuse,
    stop: () => Promise.resolve(),
    next: () => 0,
    nextOf: () => -1,
    segments: () => [],
    reached: (_segment, _offset, signal) => untilEnd(signal),
    reachedPartition: (_partition, _offset, signal) => untilEnd(signal),
    hold: refuse,
    release: refuse,
    between: refuse,
    health: () => ({ instance: name, partitions: [] }),
  }
}
