import { Session } from 'chdb'
import { createLane, type Lane } from './lanes.ts'

/** One statement to run; `sql` is a single statement, checked by the caller. */
interface Job {
  readonly lane: 'insert' | 'general'
  readonly sql: string
  /** Format of an answer without FORMAT clause. */
  readonly format: string
  readonly database: string
  readonly settings: ReadonlyMap<string, string>
  readonly params: ReadonlyMap<string, string>
  /** Text that occurs in `sql` and in no other statement: how a query is found to be killed. '' if it must not be killed. */
  readonly killMark: string
  /** False for statements that change their session (SET, USE, temporary tables). */
  readonly reusable: boolean
  readonly signal: AbortSignal
}

/** What a statement left behind. */
export interface Outcome {
  readonly bytes: Uint8Array
  readonly rowsRead: number
  readonly bytesRead: number
  readonly elapsedMs: number
}

/** chdb behind lanes: inserts never wait for scans. */
export interface Engine {
  readonly version: string
  run(job: Job): Promise<Outcome>
  /** Kills what reads, waits for what writes, then closes every session. */
  close(): Promise<void>
}

/** Places and bounds of an engine. */
export interface EngineOptions {
  readonly dataDir: string
  readonly insertPlaces: number
  readonly generalPlaces: number
  readonly queue: number
  readonly queueWaitMs: number
  /** Settings that hold unless a request names them, per lane. */
  readonly defaults: Readonly<Record<Job['lane'], ReadonlyMap<string, string>>>
}

interface Pooled {
  readonly session: Session
  /** Settings that the next statement must put back. */
  dirty: Set<string>
  database: string
}

/** SQL string literal. */
export const literal = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
const identifier = (text: string): string => `\`${text.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``

/** Opens the data folder. Throws if another process holds it. */
export function openEngine(options: EngineOptions): Engine {
  const control = new Session(options.dataDir)
  const version = control.query('SELECT version()', 'TSV').trim()
  const lanes: Record<Job['lane'], Lane> = {
    insert: createLane('insert', options.insertPlaces, options.queue, options.queueWaitMs),
    general: createLane('general', options.generalPlaces, options.queue, options.queueWaitMs),
  }
  const idle: Record<Job['lane'], Pooled[]> = { insert: [], general: [] }
  const active = new Map<Promise<unknown>, string>()

  const open = (lane: Job['lane']): Pooled => {
    const args = [...options.defaults[lane]].map(([name, value]) => `--${name}=${value}`)
    return {
      session: new Session(options.dataDir, { connectionArgs: args }),
      dirty: new Set(),
      database: 'default',
    }
  }
  const kill = (mark: string) => {
    // The mark is cut in two so that this statement does not find itself.
    const sql = `KILL QUERY WHERE position(query, concat(${literal(mark.slice(0, 4))}, ${literal(mark.slice(4))})) > 0 ASYNC`
    void control.queryAsync(sql).catch(() => undefined)
  }

  async function execute(job: Job, pooled: Pooled): Promise<Outcome> {
    const before = prefix(job, pooled, options.defaults[job.lane])
    const running = pooled.session.queryAsync(before + job.sql, { format: job.format })
    active.set(running, job.killMark)
    let killed = false
    let known = job.reusable && !job.settings.has('readonly')
    const onAbort = () => {
      killed = job.killMark !== ''
      if (killed) kill(job.killMark)
    }
    job.signal.addEventListener('abort', onAbort, { once: true })
    try {
      const result = await running
      return {
        bytes: result.bytes(),
        rowsRead: result.rowsRead,
        bytesRead: result.bytesRead,
        elapsedMs: result.elapsed * 1000,
      }
    } catch (error) {
      // Which part failed is not known: the session may have another database or settings than noted.
      known &&= before === ''
      throw error
    } finally {
      job.signal.removeEventListener('abort', onAbort)
      active.delete(running)
      // The session of a killed query may hand the kill on to its next statement.
      if (known && !killed) idle[job.lane].push(pooled)
      else pooled.session.close()
    }
  }

  return {
    version,
    async run(job) {
      const lane = lanes[job.lane]
      await lane.enter(job.signal)
      try {
        return await execute(job, idle[job.lane].pop() ?? open(job.lane))
      } finally {
        lane.leave()
      }
    },
    async close() {
      for (const mark of active.values()) if (mark !== '') kill(mark)
      await Promise.allSettled(active.keys())
      for (const pooled of [...idle.insert, ...idle.general]) pooled.session.close()
      control.close()
    },
  }
}

/** Statements that bring a session from what the last request left to what this one asks for. */
function prefix(job: Job, pooled: Pooled, defaults: ReadonlyMap<string, string>): string {
  const sets: string[] = []
  for (const name of pooled.dirty) {
    if (job.settings.has(name)) continue
    const usual = defaults.get(name)
    sets.push(`${identifier(name)} = ${usual === undefined ? 'DEFAULT' : literal(usual)}`)
  }
  pooled.dirty = new Set(job.settings.keys())
  for (const [name, value] of job.settings) sets.push(`${identifier(name)} = ${literal(value)}`)
  for (const [name, value] of job.params) sets.push(`${identifier(`param_${name}`)} = ${literal(value)}`)
  // `readonly` must come last, since it forbids the others.
  sets.sort((a, b) => Number(a.startsWith('`readonly`')) - Number(b.startsWith('`readonly`')))
  const use = job.database === pooled.database ? '' : `USE ${identifier(job.database)};\n`
  pooled.database = job.database
  return `${use}${sets.length === 0 ? '' : `SET ${sets.join(', ')};\n`}`
}
