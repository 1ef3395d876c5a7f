import { ForestallError } from '#core/ports'
import type { HttpReplica } from '#infra/query-router'
import type { Applier } from '../pipelines/data-sharding/dataplane.ts'

/**
 * A replica that takes nothing from a router whose turn is over. What was under way by then does not stand:
 * see `takeoverVersion`.
 */
export function fencedStore(store: HttpReplica, mayApply: () => boolean): HttpReplica {
  const check = (): void => {
    if (!mayApply())
      throw new ForestallError('DATA_PLANE_UNREACHABLE', 'Another router applies the log by now.')
  }
  return {
    ...store,
    async insert(...args) {
      check()
      return store.insert(...args)
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
      new ForestallError('DATA_PLANE_UNREACHABLE', `Nothing is applied at instance ${name} at present.`),
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
