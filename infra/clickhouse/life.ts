import { randomUUID } from 'node:crypto'

/** Tells one life of a ClickHouse from the next. */
export interface Life {
  /** A name of the present life: another one after each restart. Remembered until `forget`. */
  name(): Promise<string>
  /** The ClickHouse may have been restarted: the name is read anew. */
  forget(): void
}

/** Statements with which a life is read. */
export interface LifeStore {
  /** Runs a statement that returns nothing. */
  command(sql: string): Promise<void>
  /** The only value of a query (it names TSVRaw as its format); '' if that is empty. */
  value(sql: string): Promise<string>
}

/** Name of the table of lives. */
const LIVES = 'forestall_lives'

/**
 * A table in memory, which is empty after every restart. Whoever finds no name gives the new life one; of two that do
 * so at once the smaller one stands. `prefix`: of the table's name, as `forestall_log.`.
 */
export function createLife(store: LifeStore, prefix = ''): Life {
  const table = `${prefix}${LIVES}`
  let known: string | null = null
  const smallest = (): Promise<string> => store.value(`SELECT min(name) FROM ${table} FORMAT TSVRaw`)

  return {
    async name() {
      if (known !== null) return known
      await store.command(`CREATE TABLE IF NOT EXISTS ${table} (name String) ENGINE = Memory`)
      if ((await smallest()) === '') await store.command(`INSERT INTO ${table} SELECT '${randomUUID()}'`)
      known = await smallest()
      return known
    },
    forget() {
      known = null
    },
  }
}
