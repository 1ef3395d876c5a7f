import type { TableRule } from '#core/ports'
import { ask, literal, quoted } from './ask.ts'
import { RouterException } from './exceptions.ts'
import { readShape, type TableShape } from './table-shape.ts'
import { isOlderThan, temporaryName } from './temporary-name.ts'
import type { Upstream } from './upstream.ts'

/** A table of the same columns, in which an instance parses the rows of one insert. */
export interface StagingTable extends TableShape {
  /** Quoted, with its database. */
  readonly name: string
  /** As it may show in messages. */
  readonly plainName: string
  /** Empties it and keeps it for the next insert, or drops it: always if something may still be written to it. */
  release(isSettled: boolean): void
}

/** Staging tables at the instances. */
export interface Staging {
  /** `large`: rows go to disk instead of memory. Throws as `readShape`. */
  take(instance: number, rule: TableRule, large: boolean): Promise<StagingTable>
  /** The tables have changed: what is kept does not fit any more. */
  forget(): void
  /** Drops what routers that have crashed left behind a day ago or earlier; failures do not matter. */
  sweep(): Promise<void>
  /** Drops every table that was made here. */
  close(): Promise<void>
}

const PREFIX = '__forestall_stage_'
/** What is older than this was left behind by a crash. */
const LEFT_BEHIND_MS = 86_400_000
/** What is kept is made anew after this time, in case the table was changed past the router. */
const FRESH_MS = 30_000
const KEPT_PER_TABLE = 16

interface Made extends TableShape {
  readonly instance: number
  readonly rule: TableRule
  readonly plainName: string
  readonly madeMs: number
  readonly isLarge: boolean
}

/** `credentials`: headers of a user that may create tables in the databases of sharded tables. */
export function createStaging(
  upstreams: readonly Upstream[],
  credentials: readonly string[],
  fitsKey: (rule: TableRule, columnType: string) => boolean,
): Staging {
  const idle = new Map<string, Made[]>()
  const all = new Set<Made>()
  let generation = 0

  const nameOf = ({ rule, plainName }: Made): string => `${quoted(rule.database)}.${quoted(plainName)}`

  async function run(instance: number, sql: string): Promise<void> {
    const answer = await ask(upstreams[instance] as Upstream, { sql, headers: credentials })
    if (answer.status === 200) return
    throw new RouterException(1002, 'UNKNOWN_EXCEPTION', `${sql}: ${answer.body.toString().trim()}`)
  }

  async function make(instance: number, rule: TableRule, isLarge: boolean): Promise<Made> {
    const shape = await readShape(upstreams[instance] as Upstream, credentials, rule)
    if (!fitsKey(rule, shape.keyType)) {
      throw new RouterException(
        48,
        'NOT_IMPLEMENTED',
        `The shard key ${rule.keyColumn} of ${rule.database}.${rule.table} is of type ${shape.keyType}, the rules say ${rule.keyType}`,
      )
    }
    const plainName = temporaryName(PREFIX)
    const made: Made = { ...shape, instance, rule, plainName, madeMs: Date.now(), isLarge }
    const create = `CREATE TABLE ${nameOf(made)} AS ${quoted(rule.database)}.${quoted(rule.table)}`
    const onDisk = `${create} ENGINE = MergeTree ORDER BY tuple()`
    all.add(made)
    // Some columns (with a TTL, say) are not for memory.
    if (isLarge) await run(instance, onDisk)
    else await run(instance, `${create} ENGINE = Memory`).catch(() => run(instance, onDisk))
    return made
  }

  function drop(made: Made): Promise<void> {
    all.delete(made)
    return run(made.instance, `DROP TABLE IF EXISTS ${nameOf(made)} SYNC`).catch(() => undefined)
  }

  async function empty(made: Made, keep: () => void): Promise<void> {
    try {
      await run(made.instance, `TRUNCATE TABLE ${nameOf(made)}`)
      keep()
    } catch {
      await drop(made)
    }
  }

  function giveBack(key: string, made: Made, takenIn: number): void {
    const kept = idle.get(key) ?? []
    if (made.isLarge || takenIn !== generation || kept.length >= KEPT_PER_TABLE) return void drop(made)
    void empty(made, () => {
      if (takenIn !== generation) return void drop(made)
      kept.push(made)
      idle.set(key, kept)
    })
  }

  return {
    async take(instance, rule, large) {
      const key = `${instance} ${rule.database}.${rule.table}`
      const takenIn = generation
      let made = large ? undefined : idle.get(key)?.pop()
      if (made !== undefined && Date.now() - made.madeMs > FRESH_MS) {
        void drop(made)
        made = undefined
      }
      const table = made ?? (await make(instance, rule, large))
      const { columns, keyType, plainName } = table
      return {
        columns,
        keyType,
        plainName,
        name: nameOf(table),
        release: (isSettled) => (isSettled ? giveBack(key, table, takenIn) : void drop(table)),
      }
    },
    forget() {
      generation++
      for (const kept of idle.values()) for (const made of kept) void drop(made)
      idle.clear()
    },
    async sweep() {
      const sql = `SELECT database, name FROM system.tables WHERE startsWith(name, ${literal(PREFIX)}) FORMAT JSONCompactEachRow`
      const sweepOne = async (upstream: Upstream): Promise<void> => {
        const answer = await ask(upstream, { sql, headers: credentials, isRepeatable: true })
        for (const line of answer.status === 200 ? answer.body.toString().split('\n') : []) {
          if (line === '') continue
          const [database, name] = JSON.parse(line) as [database: string, name: string]
          if (!isOlderThan(LEFT_BEHIND_MS, PREFIX, name)) continue
          const drop = `DROP TABLE IF EXISTS ${quoted(database)}.${quoted(name)}`
          await ask(upstream, { sql: drop, headers: credentials })
        }
      }
      await Promise.allSettled(upstreams.map(sweepOne))
    },
    async close() {
      generation++
      await Promise.all([...all].map(drop))
    },
  }
}
