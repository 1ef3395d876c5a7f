import type { TableRule } from '#core/ports'
import { ask, literal, quoted } from './ask.ts'
import { RouterException } from './exceptions.ts'
import type { Upstream } from './upstream.ts'

/** What must be known of a table to write to it. */
export interface TableShape {
  /** Columns that a row consists of; computed ones apart. */
  readonly columns: readonly string[]
  readonly keyType: string
}

/** Functions whose value differs from replica to replica, or from one time to the next. */
const VARYING =
  /\b(?:now|now64|nowInBlock|today|yesterday|rand\w*|canonicalRand\w*|generateUUID\w*|generateULID|generateSnowflakeID|randomString\w*|randomFixedString|randomPrintableASCII|hostName|hostname|fqdn|serverUUID|serverTimezone|timezone|uptime|currentUser|user|currentDatabase|rowNumberInBlock|rowNumberInAllBlocks|blockNumber|dictGet\w*|joinGet\w*|getSetting|getMacro|queryID|initialQueryID|connectionId|version)\s*\(/i

/**
 * Reads the shape of a table at an instance. Throws 60 if there is none, 48 if the log cannot keep its replicas alike:
 * an engine that does not recognise repeats, or a computed column that varies.
 */
export async function readShape(
  upstream: Upstream,
  credentials: readonly string[],
  rule: TableRule,
): Promise<TableShape> {
  const where = `database = ${literal(rule.database)} AND table = ${literal(rule.table)}`
  const answer = await ask(upstream, {
    sql: `SELECT name, type, default_kind, default_expression, (SELECT engine FROM system.tables WHERE database = ${literal(rule.database)} AND name = ${literal(rule.table)}) FROM system.columns WHERE ${where} ORDER BY position FORMAT JSONCompactEachRow`,
    headers: credentials,
    isRepeatable: true,
  })
  if (answer.status !== 200) {
    throw new RouterException(
      1002,
      'UNKNOWN_EXCEPTION',
      `The table cannot be read: ${answer.body.toString().trim()}`,
    )
  }
  const rows = answer.body
    .toString()
    .split('\n')
    .filter((line) => line !== '')
    .map(
      (line) =>
        JSON.parse(line) as [name: string, type: string, kind: string, expression: string, engine: string],
    )
  const [first] = rows
  const full = `${quoted(rule.database)}.${quoted(rule.table)}`
  if (first === undefined) {
    throw new RouterException(60, 'UNKNOWN_TABLE', `Table ${rule.database}.${rule.table} does not exist`)
  }
  if (!first[4].includes('MergeTree')) {
    throw unfit(
      `${full} has the engine ${first[4]}: replicas take the same block only once with those of the MergeTree family`,
    )
  }
  const varying = rows.find(([, , kind, expression]) => kind === 'MATERIALIZED' && VARYING.test(expression))
  if (varying !== undefined) {
    throw unfit(
      `${full} has the column ${varying[0]} MATERIALIZED ${varying[3]}, which would differ between replicas: make it a DEFAULT`,
    )
  }
  const key = rows.find(([name]) => name === rule.keyColumn)
  if (key === undefined) throw unfit(`${full} has no column ${rule.keyColumn}, its shard key`)
  return {
    columns: rows.filter(([, , kind]) => kind === '' || kind === 'DEFAULT').map(([name]) => name),
    keyType: key[1],
  }
}

const unfit = (message: string): RouterException => new RouterException(48, 'NOT_IMPLEMENTED', message)
