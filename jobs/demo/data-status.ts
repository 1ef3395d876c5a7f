import type { DataStatus } from '#infra/web'
import type { DataParts } from './data-demo.ts'
import type { DataLoadAudit, DataLoadReport } from './data-load.ts'
import type { MoveReport } from './data-moves.ts'
import { SERVICE } from './data-settings.ts'

/** What a run of the demo came to. */
export interface DataSummary {
  readonly queries: number
  readonly errors: number
  readonly lastError: string
  readonly rowsWritten: number
  readonly rowsFound: number
  readonly rowsLost: number
  readonly rowsDuplicated: number
  readonly readYourWrites: { readonly checks: number; readonly violations: number }
  readonly decisionsApplied: number
  readonly decisionsRefused: number
  readonly decisionsSuperseded: number
  readonly moves: MoveReport
  readonly logged: { readonly sent: number; readonly dropped: number }
  /** Largest load over the mean, in intervals of 5 s. */
  readonly maxOverMean: {
    readonly intervals: number
    readonly p50: number | null
    readonly p99: number | null
    readonly hashedP50: number | null
    readonly hashedP99: number | null
  }
  readonly latencyMs: { readonly p50: number | null; readonly p99: number | null }
  readonly instancesWanted: number | null
  /** False if a row is lost or twice, a read missed its write, or rows could not be counted. */
  readonly sound: boolean
  readonly details: readonly string[]
}

const NOTHING: DataLoadReport = {
  queries: 0,
  errors: 0,
  skipped: 0,
  rows: 0,
  unknownInserts: 0,
  checks: 0,
  violations: 0,
  latencyMs: { p50: null, p99: null },
  lastError: '',
}

/** What the demo is doing now. */
export function statusOf(parts: DataParts, load: DataLoadReport | null): DataStatus {
  const { opened, reports, followers, balance, scaler } = parts
  const moves = parts.moves.report()
  const { queries, errors, rows, violations, checks, latencyMs } = load ?? NOTHING
  const views = opened.picker.view(performance.now())
  const loads = reports.loads()
  const { live, hashed } = balance.report()
  const { applied, refused } = followers.counts()
  return {
    service: SERVICE,
    url: opened.router.url,
    instances: opened.instances().map(({ name, number, applied: at }) => ({
      name,
      up: views[number]?.isDown === false,
      inFlight: views[number]?.inFlight ?? 0,
      segments: at.segments().length,
      queriesPerSecond: loads[name] ?? 0,
      queries: balance.answered(name),
    })),
    queries,
    errors,
    rows,
    violations,
    checks,
    logDropped: reports.counts().dropped,
    applied,
    refused,
    moved: moves.switched,
    movesFailed: moves.failed,
    instancesWanted: followers.wanted(),
    instancesStarted: scaler.counts().started,
    maxOverMean: live.p50,
    maxOverMeanHashed: hashed.p50,
    latencyMs,
  }
}

/** What the demo came to. */
export function summaryOf(
  { reports, followers, balance, moves }: DataParts,
  load: DataLoadReport | null,
  audit: DataLoadAudit | null,
): DataSummary {
  const { queries, errors, rows, violations, checks, latencyMs, lastError } = load ?? NOTHING
  const { applied, refused, superseded } = followers.counts()
  const { live, hashed, intervals } = balance.report()
  const { sent, dropped } = reports.counts()
  return {
    queries,
    errors,
    lastError,
    rowsWritten: rows,
    rowsFound: audit?.rows ?? 0,
    rowsLost: audit?.lost ?? 0,
    rowsDuplicated: audit?.duplicated ?? 0,
    readYourWrites: { checks, violations },
    decisionsApplied: applied,
    decisionsRefused: refused,
    decisionsSuperseded: superseded,
    moves: moves.report(),
    logged: { sent, dropped },
    maxOverMean: {
      intervals,
      p50: live.p50,
      p99: live.p99,
      hashedP50: hashed.p50,
      hashedP99: hashed.p99,
    },
    latencyMs,
    instancesWanted: followers.wanted(),
    sound: audit !== null && audit.lost + audit.duplicated + violations === 0,
    details: audit?.details ?? [],
  }
}
