import { openDataDemo } from './data-demo.ts'
import type { DataSummary } from './data-status.ts'
import type { SubsystemAccount, SubsystemDemo, SubsystemDemoOptions } from './subsystem-demo.ts'

/** Placements change no faster than this: moves take their share of what may be two cores. */
const SHORTEST_WINDOW_MS = 4000

/** Data-sharding as a part of the demo. Throws SERVICE_MISSING where the machine has not the memory for its instances. */
export async function openDataSubsystem(options: SubsystemDemoOptions): Promise<SubsystemDemo> {
  const windowMs = Math.max(options.windowMs, SHORTEST_WINDOW_MS)
  const demo = await openDataDemo({ ...options, windowMs })
  return {
    workers: demo.workers,
    metrics: () => demo.metrics(),
    begin: () => demo.begin(),
    parts: () => [{ name: 'query router', state: 'ready', detail: demo.url }],
    followers: () => demo.followers(),
    status: () => ({ data: demo.status() }),
    line() {
      const { queries, errors, rows, violations, checks, moved, instancesWanted } = demo.status()
      return `${queries} queries (${errors} errors), ${rows} rows, ${violations} of ${checks} reads missed their write, ${moved} segments moved, ${instancesWanted ?? '-'} instances wanted`
    },
    drain: (untilFlushed) => demo.drain(untilFlushed),
    account: () => accountOf(demo.summary()),
    stop: () => demo.stop(),
  }
}

function accountOf(summary: DataSummary): SubsystemAccount {
  const { maxOverMean, readYourWrites, latencyMs, moves, sound, details } = summary
  const two = (value: number | null): string => value?.toFixed(2) ?? '-'
  return {
    summary,
    sound,
    details,
    lines: [
      `queries      ${summary.queries} (${summary.errors} errors), p50 ${two(latencyMs.p50)} ms, p99 ${two(latencyMs.p99)} ms; placements ${summary.decisionsApplied} in force, ${summary.decisionsRefused} refused; ${moves.switched} segments moved, ${moves.failed} moves failed`,
      `instances    largest load over the mean p50 ${two(maxOverMean.p50)}, p99 ${two(maxOverMean.p99)}; by hashing alone ${two(maxOverMean.hashedP50)}, ${two(maxOverMean.hashedP99)}`,
      `rows         ${summary.rowsFound}: ${summary.rowsLost} lost, ${summary.rowsDuplicated} duplicated; ${readYourWrites.violations} of ${readYourWrites.checks} reads missed their write`,
    ],
  }
}
