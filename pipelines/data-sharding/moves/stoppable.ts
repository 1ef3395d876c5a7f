import { ForestallError } from '#core/ports'
import type { MovePeer } from './phases.ts'

/**
 * A peer for which nobody waits once `signal` says stop: an instance that is away would be waited for as long as it is.
 * Work that has begun between two blocks is waited for all the same.
 */
export function stoppable({ applier, ...peer }: MovePeer, signal: AbortSignal): MovePeer {
  return {
    ...peer,
    applier: {
      ...applier,
      hold: (segment, from) => unlessEnded(signal, applier.hold(segment, from)),
      release: (segment) => unlessEnded(signal, applier.release(segment)),
      async between(partition, work) {
        const begun = Promise.withResolvers<void>()
        const all = applier.between(partition, (next) => {
          if (signal.aborted) throw stopped()
          begun.resolve()
          return work(next)
        })
        await unlessEnded(signal, Promise.race([begun.promise, all]))
        return all
      },
    },
  }
}

async function unlessEnded<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  const ended = Promise.withResolvers<never>()
  const end = (): void => ended.reject(stopped())
  if (signal.aborted) end()
  signal.addEventListener('abort', end, { once: true })
  // Whatever becomes of it once nobody waits.
  work.catch(() => undefined)
  try {
    return await Promise.race([work, ended.promise])
  } finally {
    signal.removeEventListener('abort', end)
  }
}

const stopped = (): ForestallError =>
  new ForestallError('REPLICA_LATE', 'The mover has stopped; the next one goes on.')
