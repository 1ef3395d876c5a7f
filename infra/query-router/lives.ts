import { randomUUID } from 'node:crypto'
import { type Answer, linesOf, quoted, type Question } from './ask.ts'

/** Tells one life of an instance from the next. */
export interface Boot {
  /** Creates what it needs. */
  prepare(): Promise<void>
  /** A name of the present life: another one after each restart. */
  read(): Promise<string>
}

/** A table in memory, which is empty after every restart; whoever finds it so gives the new life its name. */
export function createBoot(run: (question: Question) => Promise<Answer>, database: string): Boot {
  const table = `${quoted(database)}.boot`
  // Two that begin at once write two names: both then take the smaller one.
  const find = async (): Promise<string> =>
    linesOf(await run({ sql: `SELECT min(id) FROM ${table} HAVING count() > 0 FORMAT TSVRaw` }))[0] ?? ''

  return {
    async prepare() {
      await run({ sql: `CREATE TABLE IF NOT EXISTS ${table} (id String) ENGINE = Memory` })
    },
    async read() {
      const found = await find()
      if (found !== '') return found
      await run({
        sql: `INSERT INTO ${table} FORMAT TSV`,
        search: { async_insert: '0', wait_end_of_query: '1' },
        body: Buffer.from(`${randomUUID()}\n`),
      })
      return find()
    },
  }
}

/** In which life of an instance everything that was sent to it has ended. */
export interface Lives {
  /** An insert begins; to be called back with whether its end is known. */
  begin(token: string): (hasEnded: boolean) => void
  /** Whether an insert with this token has ended nobody knows how. */
  isDoubtful(token: string): boolean
  /** The present life; '' while something that was sent in another one may be open. */
  settled(): Promise<string>
}

/** Nothing has been sent yet. */
export function createLives(read: () => Promise<string>): Lives {
  const doubtful = new Set<string>()
  const open = new Set<number>()
  let begun = 0
  /** What was read last, and what had begun until then. */
  let known: { readonly life: string; readonly begun: number } | null = null

  return {
    begin(token) {
      const own = ++begun
      open.add(own)
      return (hasEnded) => {
        open.delete(own)
        if (hasEnded) doubtful.delete(token)
        else {
          doubtful.add(token)
          known = null
        }
      }
    },
    isDoubtful: (token) => doubtful.has(token),
    async settled() {
      if (doubtful.size > 0) return ''
      if (known === null) {
        const until = begun
        const life = await read()
        if (doubtful.size > 0) return ''
        known = { life, begun: until }
      }
      for (const own of open) if (own <= known.begun) return ''
      return known.life
    },
  }
}
