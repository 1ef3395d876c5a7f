import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { ForestallError, type SegmentStore, type SegmentTable } from '#core/ports'
import { type Answer, insistOnAnswer, linesOf, literal, quoted, type Question } from './ask.ts'
import { createUpstream } from './upstream.ts'

/** Tables of an instance over its HTTP interface; it copies only from another one of these. */
export type HttpSegmentStore = SegmentStore & { close(): void }

/** Where tables are put aside. */
const ASIDE = 'forestall_moves'
/** Copies of large segments take what they take. */
const NO_TIMEOUT = '0'

/**
 * Engines whose rows FINAL gives as any later merge would. Not those that keep what FINAL hides: marks of deleted rows, and
 * rows that cancel others.
 */
const COLLAPSING = /^(ReplacingMergeTree(\([^(),]*\))?|SummingMergeTree(\([^)]*\))?)( |$)/

/** Reads of a store that another one copies from; kept out of the interface that moves see. */
const readers = new WeakMap<
  object,
  (sql: string, onPiece: (piece: Buffer) => Promise<void>) => Promise<void>
>()

/**
 * `credentials`: headers of a user that may create, alter and drop tables, and delete rows. `mayChange` is asked before
 * each statement that changes something: false once another router may be moving segments.
 */
export function createSegmentStore(
  url: string,
  credentials: readonly string[] = [],
  mayChange: () => boolean = () => true,
): HttpSegmentStore {
  const upstream = createUpstream(url)

  const run = (question: Question, onPiece?: (piece: Buffer) => Promise<void>): Promise<Answer> =>
    insistOnAnswer(upstream, { headers: credentials, ...question }, onPiece)

  function checkTurn(): void {
    if (!mayChange())
      throw new ForestallError('DATA_PLANE_UNREACHABLE', 'Another router moves the segments by now.')
  }

  const command = async (sql: string): Promise<void> => {
    checkTurn()
    await run({ sql, search: { wait_end_of_query: '1' } })
  }
  const lines = async (sql: string): Promise<string[]> => linesOf(await run({ sql, isRepeatable: true }))

  /** Columns that an insert may name, in their order: those that are computed are computed again. */
  async function columnsOf({ database, table }: SegmentTable): Promise<string> {
    const names = await lines(
      `SELECT name FROM system.columns WHERE database = ${literal(database)} AND table = ${literal(table)} AND default_kind NOT IN ('MATERIALIZED', 'ALIAS', 'EPHEMERAL') ORDER BY position FORMAT TSVRaw`,
    )
    return names.map(quoted).join(', ')
  }

  /** How rows are read of tables that collapse them: two replicas have the same ones, whatever has been merged where. */
  async function finalOf({ database, table }: SegmentTable): Promise<string> {
    const [engine = ''] = await lines(
      `SELECT engine_full FROM system.tables WHERE database = ${literal(database)} AND name = ${literal(table)} FORMAT TSVRaw`,
    )
    return COLLAPSING.test(engine) ? ' FINAL' : ''
  }

  async function create(name: string, tables: readonly SegmentTable[]): Promise<void> {
    await command(`CREATE DATABASE IF NOT EXISTS ${quoted(ASIDE)}`)
    for (const table of tables) {
      await command(`DROP TABLE IF EXISTS ${asideOf(name, table)} SYNC`)
      await command(`CREATE TABLE ${asideOf(name, table)} AS ${fullName(table)}`)
    }
  }

  const store: HttpSegmentStore = {
    async snapshot(name, tables) {
      for (const table of tables)
        await command(`ALTER TABLE ${asideOf(name, table)} ATTACH PARTITION ALL FROM ${fullName(table)}`)
    },
    stage: create,
    async fingerprint(tables, name) {
      let rows = 0
      let hash = ''
      for (const table of tables) {
        const from = name === undefined ? fullName(table) : asideOf(name, table)
        const [line = '0\t'] = await lines(
          `SELECT count(), concat(toString(sum(cityHash64(*))), '-', toString(groupBitXor(cityHash64(*)))) FROM ${from}${await finalOf(table)} WHERE ${table.condition} FORMAT TSVRaw`,
        )
        const [count = '0', sum = ''] = line.split('\t')
        rows += Number(count)
        hash = count === '0' ? hash : `${hash}${sum};`
      }
      return { rows, hash }
    },
    async copyFrom(source, name, tables, signal) {
      const read = readers.get(source)
      if (read === undefined) throw new TypeError('The source is no store of this kind.')
      for (const table of tables) {
        const columns = await columnsOf(table)
        const aside = asideOf(name, table)
        await command(`TRUNCATE TABLE ${aside}`)
        const sql = `SELECT ${columns} FROM ${aside}${await finalOf(table)} WHERE ${table.condition} FORMAT Native`
        const body = pipeOf((push) => read(sql, push), signal)
        checkTurn()
        await run({
          sql: `INSERT INTO ${aside} (${columns}) FORMAT Native`,
          search: { async_insert: '0', wait_end_of_query: '1', max_execution_time: NO_TIMEOUT },
          body,
        })
      }
    },
    async attach(name, tables) {
      for (const table of tables) {
        const [database, aside] = [literal(ASIDE), literal(tableName(name, table))]
        const partitions = await lines(
          `SELECT DISTINCT partition_id FROM system.parts WHERE active AND database = ${database} AND table = ${aside} FORMAT TSVRaw`,
        )
        for (const id of partitions) {
          await command(
            `ALTER TABLE ${asideOf(name, table)} MOVE PARTITION ID ${literal(id)} TO TABLE ${fullName(table)}`,
          )
        }
      }
    },
    async discard(name) {
      const found = await lines(
        `SELECT name FROM system.tables WHERE database = ${literal(ASIDE)} AND startsWith(name, ${literal(`${prefixOf(name)}.`)}) FORMAT TSVRaw`,
      )
      for (const table of found) await command(`DROP TABLE IF EXISTS ${quoted(ASIDE)}.${quoted(table)} SYNC`)
    },
    async clear(tables) {
      for (const table of tables) {
        await command(
          `DELETE FROM ${fullName(table)} WHERE ${table.condition} SETTINGS lightweight_deletes_sync = 2`,
        )
      }
    },
    close: () => upstream.close(),
  }
  readers.set(store, async (sql, onPiece) => {
    await run({ sql, search: { max_execution_time: NO_TIMEOUT } }, onPiece)
  })
  return store
}

const fullName = ({ database, table }: SegmentTable): string => `${quoted(database)}.${quoted(table)}`
/** Names of moves are long and hold any characters; tables put aside begin with a hash of theirs. */
const prefixOf = (name: string): string => createHash('sha256').update(name).digest('hex').slice(0, 24)
const tableName = (name: string, { database, table }: SegmentTable): string =>
  `${prefixOf(name)}.${database}.${table}`
const asideOf = (name: string, table: SegmentTable): string =>
  `${quoted(ASIDE)}.${quoted(tableName(name, table))}`

/** A stream of what `produce` pushes, with back-pressure; a failure of it, or `signal`, destroys the stream. */
function pipeOf(
  produce: (push: (piece: Buffer) => Promise<void>) => Promise<void>,
  signal?: AbortSignal,
): Readable {
  let wake: () => void = () => undefined
  const stream = new Readable({ read: () => wake(), ...(signal === undefined ? {} : { signal }) })
  const push = async (piece: Buffer): Promise<void> => {
    // Nobody takes it any more: the rest is not read either.
    if (stream.destroyed) throw new Error('The copy was broken off.')
    // The piece is only valid until the next.
    if (stream.push(Buffer.from(piece))) return
    await new Promise<void>((resolve) => {
      wake = resolve
      stream.once('close', resolve)
    })
  }
  produce(push).then(
    () => stream.push(null),
    (error: unknown) => stream.destroy(error instanceof Error ? error : new Error(String(error))),
  )
  return stream
}
