import { Buffer } from 'node:buffer'
import { type AppliedState, ForestallError, type ReplicaStore, type RowsTarget } from '#core/ports'
import { createLife } from '#infra/clickhouse'
import { type Answer, insistOnAnswer, linesOf, literal, quoted, type Question } from './ask.ts'
import { createLives } from './lives.ts'
import { createMakeSure } from './make-sure.ts'
import { createUpstream } from './upstream.ts'

/** A replica over its HTTP interface. */
export type HttpReplica = ReplicaStore & { close(): void }

/** Blocks that a table remembers by their tokens; far more than are applied between two saved positions. */
const WINDOW = 10_000
const STATE_DATABASE = 'forestall_log'

/** `credentials`: headers of a user that may insert, alter tables and create a database. */
export function createHttpReplica(url: string, credentials: readonly string[] = []): HttpReplica {
  const upstream = createUpstream(url)
  const remembering = new Set<string>()
  let isReady: Promise<void> | null = null

  const run = (question: Question): Promise<Answer> =>
    insistOnAnswer(upstream, { headers: credentials, isRepeatable: true, ...question })
  const life = createLife(
    {
      command: async (sql) => void (await run({ sql })),
      value: async (sql) => linesOf(await run({ sql }))[0] ?? '',
    },
    `${STATE_DATABASE}.`,
  )
  const lives = createLives(life)
  const sure = createMakeSure(run, STATE_DATABASE)

  async function prepare(): Promise<void> {
    await run({ sql: `CREATE DATABASE IF NOT EXISTS ${STATE_DATABASE}` })
    await run({
      sql: `CREATE TABLE IF NOT EXISTS ${STATE_DATABASE}.applied (log String, partition UInt32, version UInt64, state String) ENGINE = ReplacingMergeTree(version) ORDER BY (log, partition)`,
    })
    await run({
      sql: `CREATE TABLE IF NOT EXISTS ${STATE_DATABASE}.statements (log String, id String, failure String, at DateTime64(3) DEFAULT now64(3)) ENGINE = MergeTree ORDER BY (log, id)`,
    })
    await sure.sweep()
  }

  const ready = (): Promise<void> =>
    (isReady ??= prepare().catch((error: unknown) => {
      isReady = null
      throw error
    }))

  /** A table must remember the tokens of its last blocks, or a repeat would count twice. */
  async function remember(full: string): Promise<void> {
    if (remembering.has(full)) return
    await run({ sql: `ALTER TABLE ${full} MODIFY SETTING non_replicated_deduplication_window = ${WINDOW}` })
    remembering.add(full)
  }

  const rowsOf = (answer: Answer): string[][] => linesOf(answer).map((line) => JSON.parse(line) as string[])

  async function insert(
    { database, table, columns }: RowsTarget,
    rows: Uint8Array,
    token: string,
  ): Promise<boolean> {
    const full = `${quoted(database)}.${quoted(table)}`
    let wasSentAgain = false
    await remember(full)
    await run({
      sql: `INSERT INTO ${full} (${columns.map(quoted).join(', ')}) FORMAT RowBinary`,
      search: {
        insert_deduplication_token: token,
        insert_deduplicate: '1',
        deduplicate_blocks_in_dependent_materialized_views: '1',
        async_insert: '0',
        wait_end_of_query: '1',
      },
      body: Buffer.from(rows.buffer, rows.byteOffset, rows.length),
      onAgain() {
        wasSentAgain = true
      },
    })
    return wasSentAgain
  }

  return {
    async insert(target, rows, token, mayBeKnown = false) {
      const end = lives.begin(token)
      let hasEnded = false
      try {
        const wasSentAgain = await insert(target, rows, token)
        if (mayBeKnown || wasSentAgain || lives.isDoubtful(token)) await sure.check({ ...target, rows })
        hasEnded = true
      } finally {
        end(hasEnded)
      }
    },
    async loadApplied(log) {
      await ready()
      const sql = `SELECT argMax(state, version) FROM ${STATE_DATABASE}.applied WHERE log = ${literal(log)} GROUP BY partition FORMAT JSONCompactEachRow`
      const present = await lives.settled()
      return rowsOf(await run({ sql })).map(([text = '']) => {
        const { life: stored = '', ...state } = JSON.parse(text) as AppliedState & { life?: string }
        return { ...state, hasRestarted: stored === '' || stored !== present }
      })
    },
    async saveApplied(log, state) {
      await ready()
      const { hasRestarted = false, ...applied } = state
      const text = JSON.stringify({ ...applied, life: hasRestarted ? '' : await lives.settled() })
      const row = { log, partition: state.partition, version: state.version, state: text }
      await run({
        sql: `INSERT INTO ${STATE_DATABASE}.applied FORMAT JSONEachRow`,
        search: { async_insert: '0', wait_end_of_query: '1' },
        body: Buffer.from(JSON.stringify(row)),
      })
    },
    async statementOutcome(log, id) {
      await ready()
      const sql = `SELECT failure FROM ${STATE_DATABASE}.statements WHERE log = ${literal(log)} AND id = ${literal(id)} ORDER BY at LIMIT 1 FORMAT JSONCompactEachRow`
      return rowsOf(await run({ sql }))[0]?.[0] ?? null
    },
    async runStatement(log, id, database, statement) {
      await ready()
      let failure = ''
      try {
        await run({ sql: statement, search: { database, wait_end_of_query: '1' } })
      } catch (error) {
        // What the statement itself is refused for is how it ended; an instance that does not answer is tried again.
        if (!(error instanceof ForestallError) || error.cause !== undefined) throw error
        failure = error.message
      }
      remembering.clear()
      const row = { log, id, failure }
      await run({
        sql: `INSERT INTO ${STATE_DATABASE}.statements (log, id, failure) FORMAT JSONEachRow`,
        search: { async_insert: '0', wait_end_of_query: '1' },
        body: Buffer.from(JSON.stringify(row)),
      })
      return failure
    },
    close: () => upstream.close(),
  }
}
