import { Buffer } from 'node:buffer'
import { type AppliedState, ForestallError, type ReplicaStore } from '#core/ports'

/** A replica in memory that outlives its appliers: tables of rows, tokens, positions. */
export interface MemoryReplica extends ReplicaStore {
  /** Rows of a table (`database.table`), one text per row, as added. */
  rows(table: string): string[]
  /** Removes rows, as a dropped segment does. */
  removeRows(table: string, isGone: (row: string) => boolean): void
  readonly statements: string[]
  /** From now on every `n`th call takes effect and then fails, as when an answer is lost; 0: never. */
  loseAnswers(n: number): void
  /** Refuses rows that come with such a token. */
  refuse(isRefused: (token: string) => boolean): void
}

/** Rows are texts that end in a line break. */
export function createMemoryReplica(): MemoryReplica {
  const tables = new Map<string, string[]>()
  const tokens = new Set<string>()
  const states = new Map<string, AppliedState>()
  const outcomes = new Map<string, string>()
  const statements: string[] = []
  let isRefused = (_token: string): boolean => false
  let every = 0
  let calls = 0
  const answer = (): void => {
    if (every > 0 && ++calls % every === 0) throw new Error('the answer was lost')
  }
  return {
    statements,
    rows: (table) => tables.get(table) ?? [],
    removeRows: (table, isGone) =>
      void tables.set(
        table,
        (tables.get(table) ?? []).filter((r) => !isGone(r)),
      ),
    loseAnswers(n) {
      every = n
    },
    refuse(next) {
      isRefused = next
    },
    async insert({ database, table }, rows, token) {
      if (isRefused(token)) throw new ForestallError('WAREHOUSE_REJECTED', 'No such column')
      const name = `${database}.${table}`
      if (!tokens.has(`${name} ${token}`)) {
        tokens.add(`${name} ${token}`)
        const texts = Buffer.from(rows).toString().split('\n').slice(0, -1)
        tables.set(name, [...(tables.get(name) ?? []), ...texts])
      }
      answer()
    },
    async loadApplied(log) {
      return [...states].filter(([key]) => key.startsWith(`${log} `)).map(([, state]) => state)
    },
    async saveApplied(log, state) {
      const key = `${log} ${state.partition}`
      if (state.version > (states.get(key)?.version ?? 0)) states.set(key, state)
      answer()
    },
    statementOutcome: async (log, id) => outcomes.get(`${log} ${id}`) ?? null,
    async runStatement(log, id, _database, statement) {
      statements.push(statement)
      outcomes.set(`${log} ${id}`, '')
      answer()
      return ''
    },
  }
}
