import { insistOnAnswer, linesOf, literal, quoted, type Question } from './ask.ts'
import { createUpstream, type Upstream } from './upstream.ts'

/** A table by its name. */
interface NamedTable {
  readonly database: string
  readonly table: string
}

/**
 * Creates tables at one instance as they are at another, without rows; those that there are already stay as they are,
 * and those that the other has not are left out. `credentials`: headers of a user that may create databases and tables.
 * Throws WAREHOUSE_UNAVAILABLE and WAREHOUSE_REJECTED.
 */
export async function copyTables(
  from: string,
  to: string,
  tables: readonly NamedTable[],
  credentials: readonly string[] = [],
): Promise<void> {
  const [source, target] = [createUpstream(from), createUpstream(to)]
  const ask = async (upstream: Upstream, question: Question): Promise<string[]> =>
    linesOf(await insistOnAnswer(upstream, { headers: credentials, isRepeatable: true, ...question }))
  const statementOf = async (upstream: Upstream, { database, table }: NamedTable): Promise<string | null> => {
    const sql = `SELECT create_table_query FROM system.tables WHERE database = ${literal(database)} AND name = ${literal(table)} FORMAT JSONCompactEachRow`
    const [line] = await ask(upstream, { sql })
    return line === undefined ? null : ((JSON.parse(line) as [string])[0] ?? null)
  }
  try {
    for (const table of tables) {
      if ((await statementOf(target, table)) !== null) continue
      const sql = await statementOf(source, table)
      if (sql === null) continue
      await ask(target, { sql: `CREATE DATABASE IF NOT EXISTS ${quoted(table.database)}` })
      await ask(target, { sql, search: { wait_end_of_query: '1' } })
    }
  } finally {
    source.close()
    target.close()
  }
}

/** Names of the materialised views that tables of an instance feed. Throws as `copyTables`. */
export async function viewsOn(
  url: string,
  tables: readonly NamedTable[],
  credentials: readonly string[] = [],
): Promise<string[]> {
  if (tables.length === 0) return []
  const upstream = createUpstream(url)
  const names = tables.map(({ database, table }) => `(${literal(database)}, ${literal(table)})`)
  const sql = `SELECT arrayJoin(arrayZip(dependencies_database, dependencies_table)) AS view, concat(view.1, '.', view.2) FROM system.tables WHERE (database, name) IN (${names.join(', ')}) FORMAT JSONCompactEachRow`
  try {
    const answer = await insistOnAnswer(upstream, { sql, headers: credentials, isRepeatable: true })
    return linesOf(answer).map((line) => (JSON.parse(line) as [unknown, string])[1])
  } finally {
    upstream.close()
  }
}
