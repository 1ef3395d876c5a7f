import type { LogEntry, SchemaLog } from '#infra/registry'
import { ForestallError } from '#core/ports'

/** A schema log in memory that several registries may share; like Kafka's, it fences all but the last opened. */
export interface MemorySchemaLog {
  /** A handle of its own for one registry. */
  handle(): SchemaLog
  readonly entries: readonly LogEntry[]
  /** The next append fails; `written` says whether it took effect all the same. */
  failNext(written: boolean): void
}

/** An empty log in memory. */
export function memorySchemaLog(): MemorySchemaLog {
  const entries: LogEntry[] = []
  let epoch = 0
  let failure: { written: boolean } | undefined
  return {
    entries,
    failNext: (written) => {
      failure = { written }
    },
    handle() {
      let own = -1
      return {
        async open() {
          own = ++epoch
          return [...entries]
        },
        async append(added) {
          if (own !== epoch)
            throw new ForestallError('PRODUCER_FENCED', 'a newer registry has opened the log')
          const failing = failure
          failure = undefined
          if (!failing || failing.written) entries.push(...added)
          if (failing) throw new Error('the broker went away')
        },
        async close() {},
      }
    },
  }
}
