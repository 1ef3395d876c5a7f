import { ForestallError } from '#core/ports'
import { copyTables } from '#infra/query-router'
import type { QueryRouterConfig } from './query-router-config.ts'
import type { RouterInstance } from './query-router-instances.ts'

const WITHIN_MS = 30_000

/**
 * Creates the sharded tables at a new instance as they are at another one. Statements of the log wait meanwhile, so that
 * none falls between what is copied and what the new one runs itself; one that the other has run just before is run
 * again, and what it fails with then is its outcome there. Without an applier here, another router sees to it. Throws
 * REPLICA_LATE if the other instance does not come as far as the log is.
 */
export async function copySchema(
  all: readonly RouterInstance[],
  made: RouterInstance,
  tables: QueryRouterConfig['tables'],
  credentials: readonly string[],
): Promise<void> {
  const { applier } = made
  if (applier === null) return
  const source = all.find((it) => it !== made && it.applied.health().partitions.length > 0)
  if (source === undefined) return
  // A statement runs when all partitions have come to it: holding one up holds it up.
  await applier.between(0, async (next) => {
    if (!(await source.applied.reachedPartition(0, next, AbortSignal.timeout(WITHIN_MS))))
      throw new ForestallError('REPLICA_LATE', `Instance ${source.name} is late: ${made.name} is not added.`)
    await copyTables(source.url, made.url, tables, credentials)
  })
}
