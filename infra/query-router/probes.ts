import type { Picker } from '#core/ports'
import { ask, send } from './ask.ts'
import type { Upstream } from './upstream.ts'

/** Asks instances how they are, apart from the queries of users. */
export interface Probes {
  start(): void
  stop(): void
}

/** How often it is looked whether a probe is due: an instance is out, or all are sound. */
const LOOK_MS = 50
const IDLE_LOOK_MS = 250
/** Sound instances are asked this often: what is normal for a probe must be known. */
const ROUND_MS = 2000
const PATIENCE_MS = 2000

/** Probes run `SELECT 1` with the credentials of the router, or the health check if that is refused. */
export function createProbes(
  upstreams: readonly Upstream[],
  members: () => readonly number[],
  picker: Picker,
  credentials: readonly string[],
  nowMs: () => number,
): Probes {
  let timer: NodeJS.Timeout | null = null
  let roundAtMs = 0
  const busy = new Set<number>()

  async function probe(i: number): Promise<void> {
    const upstream = upstreams[i]
    if (upstream === undefined || busy.has(i)) return
    busy.add(i)
    const began = nowMs()
    try {
      const late = new Promise<null>((resolve) => setTimeout(() => resolve(null), PATIENCE_MS).unref())
      const answer = await Promise.race([
        ask(upstream, { sql: 'SELECT 1', headers: credentials, isRepeatable: true }).then((a) =>
          a.status === 200 ? a : ping(upstream),
        ),
        late,
      ])
      const elapsedMs = answer?.status === 200 ? nowMs() - began : null
      if (elapsedMs === null) picker.down(i, nowMs())
      picker.probed(i, elapsedMs, nowMs())
    } catch {
      picker.down(i, nowMs())
      picker.probed(i, null, nowMs())
    } finally {
      busy.delete(i)
    }
  }

  function look(): void {
    const now = nowMs()
    for (const i of picker.probesDue(now)) void probe(i)
    if (now >= roundAtMs) {
      roundAtMs = now + ROUND_MS
      for (const i of members()) if (!picker.isOut(i)) void probe(i)
    }
    const isIdle = members().every((i) => !picker.isOut(i))
    timer = setTimeout(look, isIdle ? IDLE_LOOK_MS : LOOK_MS).unref()
  }

  return {
    start() {
      timer ??= setTimeout(look, LOOK_MS).unref()
    },
    stop() {
      if (timer !== null) clearTimeout(timer)
      timer = null
    },
  }
}

const ping = (upstream: Upstream) =>
  send(upstream, { method: 'GET', path: '/ping', headers: [], body: null, isRepeatable: true })
