import { ForestallError } from '#core/ports'
import { type Answer, linesOf, literal, quoted, type Question } from './ask.ts'
import { isOlderThan, temporaryName } from './temporary-name.ts'

/** Rows of one insert, as they were sent. */
export interface SentRows {
  readonly database: string
  readonly table: string
  readonly columns: readonly string[]
  /** RowBinary. */
  readonly rows: Uint8Array
}

/** Sees to it that the rows of an insert are there which ClickHouse may have taken for a repeat of one that it lost. */
export interface MakeSure {
  /** To be called after an insert was acknowledged that repeats one whose end is not known. */
  check(sent: SentRows): Promise<void>
  /** Drops what processes that were killed left behind an hour ago or earlier. */
  sweep(): Promise<void>
}

const PREFIX = 'check_'
const LEFT_BEHIND_MS = 3_600_000

/**
 * A table without Keeper writes the token of a block to its log before the part of the block gets its name. A kill
 * between the two leaves a token without rows, and the repeat is acknowledged without being made (seen on 26.7:
 * docs/design/clickhouse-tokens.md). Proof of the rows is their part: the same rows in a table of the same form
 * make a part of the same content, and ClickHouse shows parts that were merged for minutes (`old_parts_lifetime`).
 * A partition without such a part gets the one that was made for the comparison.
 */
export function createMakeSure(run: (question: Question) => Promise<Answer>, database: string): MakeSure {
  const lines = async (sql: string): Promise<string[]> => linesOf(await run({ sql }))

  /**
   * Whether parts are proof: tokens in Keeper need none, and what is computed anew for each insert makes other parts.
   */
  async function isComparable(sent: SentRows): Promise<boolean> {
    const [engine = ''] = await lines(
      `SELECT engine FROM system.tables WHERE database = ${literal(sent.database)} AND name = ${literal(sent.table)} FORMAT TSVRaw`,
    )
    if (engine.startsWith('Replicated') || !engine.endsWith('MergeTree')) return false
    const [computed = '0'] = await lines(
      `SELECT count() FROM system.columns WHERE database = ${literal(sent.database)} AND table = ${literal(sent.table)} AND default_kind = 'MATERIALIZED' FORMAT TSVRaw`,
    )
    return computed === '0'
  }

  /** Partitions whose part in `aside` has no equal in the table. */
  const missing = (sent: SentRows, aside: string): Promise<string[]> =>
    lines(
      `SELECT partition_id FROM system.parts WHERE database = ${literal(database)} AND table = ${literal(aside)} AND active AND (partition_id, rows, uncompressed_hash_of_compressed_files) NOT IN (SELECT partition_id, rows, uncompressed_hash_of_compressed_files FROM system.parts WHERE database = ${literal(sent.database)} AND table = ${literal(sent.table)} AND level = 0) FORMAT TSVRaw`,
    )

  async function compare(sent: SentRows, aside: string): Promise<void> {
    const full = `${quoted(sent.database)}.${quoted(sent.table)}`
    const asideFull = `${quoted(database)}.${quoted(aside)}`
    await run({ sql: `CREATE TABLE ${asideFull} AS ${full}` })
    await run({
      sql: `INSERT INTO ${asideFull} (${sent.columns.map(quoted).join(', ')}) FORMAT RowBinary`,
      search: { async_insert: '0', wait_end_of_query: '1' },
      body: Buffer.from(sent.rows.buffer, sent.rows.byteOffset, sent.rows.length),
      isRepeatable: false,
    })
    for (const partition of await missing(sent, aside))
      await run({ sql: `ALTER TABLE ${full} ATTACH PARTITION ID ${literal(partition)} FROM ${asideFull}` })
    const left = await missing(sent, aside)
    if (left.length > 0)
      throw new ForestallError(
        'WAREHOUSE_UNAVAILABLE',
        `${full}: partitions ${left.join(', ')} are not there.`,
      )
  }

  return {
    async check(sent) {
      if (!(await isComparable(sent))) return
      const aside = temporaryName(PREFIX)
      try {
        await compare(sent, aside)
      } finally {
        await run({ sql: `DROP TABLE IF EXISTS ${quoted(database)}.${quoted(aside)} SYNC` }).catch(
          () => undefined,
        )
      }
    },
    async sweep() {
      const found = await lines(
        `SELECT name FROM system.tables WHERE database = ${literal(database)} AND startsWith(name, ${literal(PREFIX)}) FORMAT TSVRaw`,
      )
      for (const name of found) {
        if (!isOlderThan(LEFT_BEHIND_MS, PREFIX, name)) continue
        await run({ sql: `DROP TABLE IF EXISTS ${quoted(database)}.${quoted(name)} SYNC` })
      }
    },
  }
}
