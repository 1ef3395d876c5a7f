import { ForestallError } from '#core/ports'
import { copyTables } from '#infra/query-router'
import type { Applier } from '../pipelines/data-sharding/dataplane.ts'
import type { QueryRouterConfig } from './query-router-config.ts'
import type { RouterInstance } from './query-router-instances.ts'

const WITHIN_MS = 30_000

/**
 * Creates the sharded tables at a new instance as they are at another one. Statements of the log wait meanwhile, so that
 * none falls between what is copied and what the new one runs itself; one that the other has run just before is run
 * again, and what it fails with then is its outcome there. Throws REPLICA_LATE if the other instance does not come as
 * far as the log is.
 */
export async function copySchema(
  source: RouterInstance,
  made: RouterInstance,
  applier: Applier,
  tables: QueryRouterConfig['tables'],
  credentials: readonly string[],
): Promise<void> {
  // A statement runs when all partitions have come to it: holding one up holds it up.
  await applier.between(0, async (next) => {
    if (!(await source.applied.reachedPartition(0, next, AbortSignal.timeout(WITHIN_MS))))
      throw new ForestallError(
        'REPLICA_LATE',
        `Instance ${source.name} is late: ${made.name} has no tables yet.`,
      )
    await copyTables(source.url, made.url, tables, credentials)
  })
}
