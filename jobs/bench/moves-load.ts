import type { Random } from '#core/ports'

/** Inserts and reads of a session, all the time, through whatever is killed. */
export interface MovesLoad {
  /** Rows acknowledged, by key: none of them may be missing. */
  readonly written: ReadonlyMap<string, number>
  readonly counters: { inserts: number; repeats: number; reads: number; violations: number }
  /** Times of inserts that were not repeated, ms. */
  readonly insertMs: number[]
  /** What violations were, the first few. */
  readonly details: string[]
  /** Ends after what is under way. */
  stop(): Promise<void>
}

/** What the load needs. */
export interface MovesLoadOptions {
  readonly url: string
  readonly keys: readonly string[]
  readonly sessions: number
  readonly random: Random
}

const ROWS = 8
const REPEAT_AFTER_MS = 100
const PATIENCE_MS = 20_000

/** Starts sessions; each inserts rows of some keys and then reads one of them with the token of the insert. */
export function startMovesLoad(options: MovesLoadOptions): MovesLoad {
  const { url, keys, random } = options
  const written = new Map<string, number>(keys.map((key) => [key, 0]))
  const counters = { inserts: 0, repeats: 0, reads: 0, violations: 0 }
  const insertMs: number[] = []
  const details: string[] = []
  const stopping = new AbortController()
  let number = 0

  async function post(search: Record<string, string>, body: string, token = ''): Promise<Response> {
    const headers: Record<string, string> = token === '' ? {} : { 'x-forestall-token': token }
    return fetch(`${url}/?${new URLSearchParams(search).toString()}`, {
      method: 'POST',
      body,
      headers,
      signal: AbortSignal.timeout(PATIENCE_MS),
    })
  }

  /** Repeats with the same token until it is acknowledged; returns the session token. */
  async function insert(name: string, rows: readonly string[]): Promise<string> {
    const search = {
      query: 'INSERT INTO orders FORMAT JSONEachRow',
      insert_deduplication_token: name,
    }
    for (let attempt = 0; ; attempt++) {
      const beganMs = performance.now()
      try {
        const answer = await post(search, rows.join('\n'))
        const text = await answer.text()
        if (answer.status === 200) {
          if (attempt === 0) insertMs.push(performance.now() - beganMs)
          return answer.headers.get('x-forestall-token') ?? ''
        }
        if (answer.status < 500 && !text.includes('REPLICA_LATE'))
          throw new TypeError(`insert refused: ${text}`)
      } catch (error) {
        if (error instanceof TypeError && error.message.startsWith('insert refused')) throw error
      }
      counters.repeats++
      await new Promise((resolve) => setTimeout(resolve, REPEAT_AFTER_MS))
    }
  }

  async function check(key: string, least: number, token: string): Promise<void> {
    try {
      const query = `SELECT count(), uniqExact(n) FROM orders WHERE k = '${key}' FORMAT TSV`
      const answer = await post({}, query, token)
      const text = await answer.text()
      if (answer.status !== 200) return
      counters.reads++
      const [count = 0, distinct = 0] = text.trim().split('\t').map(Number)
      if (count >= least && count === distinct) return
      counters.violations++
      if (details.length < 10) details.push(`${key}: ${count} rows, ${distinct} distinct, at least ${least}`)
    } catch {
      // Killed in the middle: a read that got no answer saw nothing wrong.
    }
  }

  async function session(id: number): Promise<void> {
    // Another session's rows need not be seen with the token of this one.
    const own = new Map<string, number>()
    for (let i = 0; !stopping.signal.aborted; i++) {
      const chosen = Array.from({ length: ROWS }, () => keys[random.uint32() % keys.length] as string)
      const rows = chosen.map((k) => JSON.stringify({ k, n: number++ }))
      const token = await insert(`s${id}-${i}`, rows)
      counters.inserts++
      for (const key of chosen) {
        written.set(key, (written.get(key) as number) + 1)
        own.set(key, (own.get(key) ?? 0) + 1)
      }
      const key = chosen[0] as string
      await check(key, own.get(key) as number, token)
    }
  }

  const over = Promise.all(Array.from({ length: options.sessions }, (_, id) => session(id)))
  over.catch((error: unknown) => details.push(String(error)))
  return {
    written,
    counters,
    insertMs,
    details,
    async stop() {
      stopping.abort()
      await over
    },
  }
}
