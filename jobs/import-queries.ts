import { readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { topicSpec } from '#schemas'
import { type Broker, ForestallError } from '#core/ports'
import {
  importQueryLogFile,
  openQueryLog,
  type QueryLogCounters,
  type QueryLogFileOptions,
  type QueryRule,
  startQueryLogPoller,
} from '#infra/adapters'
import { createWarehouse } from '#infra/clickhouse'
import { type CommonArgs, replayPrefix } from './args.ts'
import { findConnections, findReplay, openBroker, openCodec } from './connect.ts'
import type { ExitCode } from './errors-exit.ts'
import { signalled } from './signals.ts'
import { createWarner } from './warnings.ts'

/** `forestall import-queries`. */
export interface ImportQueriesArgs extends CommonArgs {
  /** A log that is a file; null: the query log of a server. */
  readonly file: string | null
  /** URL of the server whose log is read; null: that of CLICKHOUSE_URL. Its user: QUERY_LOG_USER, QUERY_LOG_PASSWORD. */
  readonly server: string | null
  readonly table: string
  /** Keeps the place in the log; null: the host of the server, or the name of the file. */
  readonly source: string | null
  /** JSON file of rules; null: tags in `log_comment`. */
  readonly rulesFile: string | null
  readonly everyMs: number
  readonly settleMs: number
  readonly replayId: string
  /** Stops after this time, ms; null: runs until it is stopped. */
  readonly forMs: number | null
  readonly dataDir: string
}

const RETRY_MS = 60_000

const Name = z.union(
  [
    z.strictObject({ value: z.string() }),
    z.strictObject({ field: z.string() }),
    z.strictObject({ comment: z.string() }),
    z.strictObject({ parameter: z.string() }),
    z.strictObject({ where: z.string() }),
  ],
  { error: 'must be {"value": …}, {"field": …}, {"comment": …}, {"parameter": …} or {"where": …}' },
)
const Rules = z
  .array(
    z.strictObject({
      table: z.string().exactOptional(),
      user: z.string().exactOptional(),
      kinds: z.array(z.string()).exactOptional(),
      hashes: z.array(z.string()).exactOptional(),
      service: z.array(Name).min(1),
      entity: z.array(Name).min(1),
      operation: z.array(Name).min(1),
      work: z.string().exactOptional(),
    }),
  )
  .min(1)

/** Rules from a JSON file. Throws CONFIG_INVALID with the field that cannot be. */
export function readQueryRules(file: string): QueryRule[] {
  let json: unknown
  try {
    json = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new ForestallError('CONFIG_INVALID', `--rules ${file} is not a JSON file that can be read.`, {
      cause,
    })
  }
  const parsed = Rules.safeParse(json)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const where = issue === undefined || issue.path.length === 0 ? 'the list' : issue.path.join('.')
  throw new ForestallError('CONFIG_INVALID', `--rules ${file}: ${where}: ${issue?.message}.`, {
    cure: 'See "What names service, key and operation" in docs/how-to/query-logs.md.',
  })
}

async function createTopics(broker: Broker, prefix: string): Promise<void> {
  const admin = broker.admin()
  try {
    const existing = new Set(await admin.listTopics())
    const specs = ['logs.queries', 'state.query-log'].map((name) => topicSpec(name, { prefix }))
    await admin.ensureTopics(specs.filter(({ name }) => !existing.has(name)))
  } finally {
    await admin.close()
  }
}

function report(args: ImportQueriesArgs, counters: QueryLogCounters): void {
  const { rows, records, skipped } = counters
  const reasons = Object.entries(skipped).map(([reason, count]) => `${count} ${reason}`)
  const left = reasons.length === 0 ? '' : `; left out: ${reasons.join(', ')}`
  process.stdout.write(
    args.json
      ? `${JSON.stringify({ rows, records, skipped })}\n`
      : `${rows} rows, ${records} records${left}\n`,
  )
}

type Wiring = Pick<QueryLogFileOptions, 'broker' | 'codec' | 'prefix' | 'rules'>

async function importFile(args: ImportQueriesArgs, path: string, wiring: Wiring): Promise<void> {
  const source = args.source ?? basename(path)
  const counters = await importQueryLogFile({
    ...wiring,
    path,
    source,
    nowMs: Date.now,
    onProgress: ({ rows }) => process.stderr.write(`${rows} rows\n`),
    onResume: (line) =>
      process.stderr.write(
        `going on behind line ${line}: source "${source}" was imported up to there (--source NAME begins anew)\n`,
      ),
  })
  report(args, counters)
}

async function poll(args: ImportQueriesArgs, wiring: Wiring, url: string, user: Credentials): Promise<void> {
  const warehouse = createWarehouse({ url, ...user, attempts: 2 })
  const signals = signalled()
  try {
    const source = args.source ?? new URL(url).host
    const poller = await startQueryLogPoller({
      ...wiring,
      table: await openQueryLog(warehouse, args.table).catch((error: unknown) => {
        throw ofServer(error, args)
      }),
      source,
      everyMs: args.everyMs,
      settleMs: args.settleMs,
      onWarning: createWarner(),
    })
    process.stderr.write(`${args.table} of ${source} -> logs.queries; Ctrl-C stops it\n`)
    const over = args.forMs === null ? [] : [delay(args.forMs, undefined, { ref: false })]
    try {
      await Promise.race([signals.stopped, poller.done, ...over])
    } finally {
      await poller.stop()
      report(args, poller.counters())
    }
  } finally {
    signals.release()
    await warehouse.close()
  }
}

interface Credentials {
  readonly user?: string
  readonly password?: string
}

/** The server's own credentials, or those of the warehouse if it is the same server. */
function credentials(args: ImportQueriesArgs, warehouse: Credentials): Credentials {
  const { QUERY_LOG_USER: user, QUERY_LOG_PASSWORD: password } = process.env
  if (args.server === null) return warehouse
  return { ...(user === undefined ? {} : { user }), ...(password === undefined ? {} : { password }) }
}

/** Throws CONFIG_INVALID if there are two logs, or a server without a URL. */
function checkSource({ file, server }: ImportQueriesArgs): void {
  if (server === null) return
  if (file !== null)
    throw new ForestallError('CONFIG_INVALID', '--file and --server are both given', {
      cure: 'Name one log: run the command once for each.',
    })
  if (!/^https?:\/\/[^/]/.test(server) || !URL.canParse(server))
    throw new ForestallError('CONFIG_INVALID', `--server ${server} is no URL`, {
      cure: 'Write http://host:8123 or https://host:8443.',
    })
}

/** Says which option named the server. */
function ofServer(error: unknown, { server }: ImportQueriesArgs): unknown {
  if (server === null || !(error instanceof ForestallError) || error.code !== 'WAREHOUSE_UNAVAILABLE')
    return error
  return new ForestallError(error.code, error.message, {
    cause: error,
    cure: `Check --server ${server}, QUERY_LOG_USER and QUERY_LOG_PASSWORD, and that ClickHouse runs there.`,
  })
}

/** `forestall import-queries`: queries become records of `logs.queries`, each once. */
export async function runImportQueries(args: ImportQueriesArgs): Promise<ExitCode> {
  checkSource(args)
  const rules = args.rulesFile === null ? undefined : readQueryRules(args.rulesFile)
  const found = findConnections(args.dataDir)
  const replayId = await findReplay(found, args.replayId)
  const codec = await openCodec(found)
  const broker = await openBroker(
    found,
    'forestall-import-queries',
    args.file === null ? RETRY_MS : undefined,
  )
  const prefix = replayPrefix(replayId)
  try {
    await createTopics(broker, prefix)
    const wiring = { broker, codec, prefix, ...(rules === undefined ? {} : { rules }) }
    if (args.file !== null) await importFile(args, args.file, wiring)
    else {
      const { url, ...user } = await found.clickhouse()
      await poll(args, wiring, args.server ?? url, credentials(args, user))
    }
    return 0
  } finally {
    await broker.close()
  }
}
