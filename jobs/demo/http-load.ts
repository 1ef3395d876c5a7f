import { Agent, get } from 'node:http'
import { systemTimers, type TimerHandle, type Timers } from '#core/ports'

/** What became of the requests. */
export interface RequestReport {
  readonly sent: number
  readonly answered: number
  /** Answers with an error status, and requests without answer. */
  readonly failed: number
  /** Not sent because too many were under way. */
  readonly dropped: number
  /** Answers since the start, by region. */
  readonly byRegion: Readonly<Record<string, number>>
  /** Shares of the last 1,000 answers, by region. */
  readonly recentShares: Readonly<Record<string, number>>
  /** Of the last 1,000 answers; null before the first. */
  readonly latencyMs: { readonly p50: number | null; readonly p99: number | null }
}

/** A load of requests. */
export interface HttpLoad {
  report(): RequestReport
  /** Ends sending and waits for what is under way. */
  stop(): Promise<void>
}

/** Settings of a request load. */
export interface HttpLoadOptions {
  readonly requestsPerSecond: number
  /** Where the next request goes: a port of the loopback interface. */
  readonly nextPort: () => number
  readonly timers?: Timers
}

const STEP_MS = 50
const MOST_UNDER_WAY = 200
const RECENT = 1000
const TIMEOUT_MS = 5000

/** Sends GET requests at a steady rate; answers name their region in `x-region`. */
export function startHttpLoad({
  requestsPerSecond,
  nextPort,
  timers = systemTimers,
}: HttpLoadOptions): HttpLoad {
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 4 })
  const counts = { sent: 0, answered: 0, failed: 0, dropped: 0 }
  const byRegion: Record<string, number> = {}
  const recent: { region: string; ms: number }[] = []
  const underWay = new Set<Promise<void>>()
  let timer: TimerHandle | null = null
  let stopped = false
  let owed = 0

  function request(port: number): Promise<void> {
    const startMs = performance.now()
    return new Promise((resolve) => {
      const fail = (): void => {
        counts.failed++
        resolve()
      }
      const outgoing = get({ host: '127.0.0.1', port, agent, timeout: TIMEOUT_MS }, (response) => {
        response.resume()
        response.once('error', fail)
        response.once('end', () => {
          answered(response.headers['x-region'], response.statusCode ?? 0, performance.now() - startMs)
          resolve()
        })
      })
      outgoing.once('timeout', () => outgoing.destroy(new Error('no answer')))
      outgoing.once('error', fail)
    })
  }

  function answered(region: string | string[] | undefined, status: number, ms: number): void {
    counts.answered++
    if (status !== 200) counts.failed++
    if (typeof region !== 'string') return
    byRegion[region] = (byRegion[region] ?? 0) + 1
    recent.push({ region, ms })
    if (recent.length > RECENT) recent.shift()
  }

  function step(): void {
    if (stopped) return
    owed += (requestsPerSecond * STEP_MS) / 1000
    for (; owed >= 1; owed--) {
      if (underWay.size >= MOST_UNDER_WAY) {
        counts.dropped++
        continue
      }
      counts.sent++
      const one = request(nextPort())
      underWay.add(one)
      void one.then(() => underWay.delete(one))
    }
    timer = timers.after(STEP_MS, step)
  }

  step()
  return {
    report: () => ({ ...counts, byRegion: { ...byRegion }, ...summary(recent) }),
    async stop() {
      stopped = true
      timer?.cancel()
      await Promise.all(underWay)
      agent.destroy()
    },
  }
}

function summary(
  recent: readonly { region: string; ms: number }[],
): Pick<RequestReport, 'recentShares' | 'latencyMs'> {
  const shares: Record<string, number> = {}
  for (const { region } of recent) shares[region] = (shares[region] ?? 0) + 1 / recent.length
  const sorted = recent.map(({ ms }) => ms).toSorted((a, b) => a - b)
  const at = (q: number): number | null => sorted[Math.floor(q * (sorted.length - 1))] ?? null
  return { recentShares: shares, latencyMs: { p50: at(0.5), p99: at(0.99) } }
}
