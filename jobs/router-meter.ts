import type { DataMovePhase } from '#schemas'
import type { WriteLog } from '#core/ports'
import { createHistogram, type HistogramCounts } from '#infra/observability'
import type { LoggedQuery } from '../pipelines/data-sharding/dataplane.ts'

const KINDS = ['read', 'statement', 'parts', 'insert', 'change', 'broadcast', 'refused'] as const
/** What a statement turned out to be: read by one instance or in parts, another statement for one, rows, for all, refused. */
export type StatementKind = (typeof KINDS)[number]

/** What a router has done, by its own count; each only grows. */
export interface RouterCounts {
  readonly planned: Readonly<Record<StatementKind, number>>
  readonly answered: number
  readonly failed: number
  /** Seconds to the end of an answer of one instance. */
  readonly answers: HistogramCounts
  readonly writesAcknowledged: number
  readonly writesRefused: number
  /** Seconds from the first rows of an insert to its acknowledgement. */
  readonly writes: HistogramCounts
  /** Phases of moves that began here. */
  readonly phases: ReadonlyMap<DataMovePhase, number>
  /** Seconds that a partition of an instance waited for a move. */
  readonly pauses: HistogramCounts
}

/** Counts what goes through a router where it is put together: nothing is allocated per statement. */
export interface RouterMeter {
  onQuery(query: LoggedQuery): void
  /** The same planner, counted. */
  planned<Request, Plan extends { readonly kind: string; readonly isRead?: boolean }>(
    plan: (request: Request) => Plan,
  ): (request: Request) => Plan
  /** The same log, counted. */
  written(log: WriteLog): WriteLog
  onPhase(phase: DataMovePhase): void
  onPause(elapsedMs: number): void
  counts(): RouterCounts
}

const KIND_OF: Readonly<Record<string, StatementKind>> = {
  parts: 'parts',
  insert: 'insert',
  change: 'change',
  broadcast: 'broadcast',
  refuse: 'refused',
}

/** A meter at zero. */
export function createRouterMeter(nowMs: () => number = () => performance.now()): RouterMeter {
  const planned = Object.fromEntries(KINDS.map((kind) => [kind, 0])) as Record<StatementKind, number>
  const [answers, writes, pauses] = [createHistogram(), createHistogram(), createHistogram()]
  const phases = new Map<DataMovePhase, number>()
  let [answered, failed, writesAcknowledged, writesRefused] = [0, 0, 0, 0]

  return {
    onQuery(query) {
      if (query.failed) failed++
      else answered++
      answers.observe(query.durationMs / 1000)
    },
    planned: (plan) => (request) => {
      const made = plan(request)
      planned[
        made.kind === 'one' ? (made.isRead ? 'read' : 'statement') : (KIND_OF[made.kind] ?? 'refused')
      ]++
      return made
    },
    written: (log) => ({
      change: (statement, database) => log.change(statement, database),
      open(insert) {
        const startedMs = nowMs()
        let isRefused = false
        const counted = async <T>(work: Promise<T>): Promise<T> => {
          try {
            return await work
          } catch (error) {
            if (!isRefused) writesRefused++
            isRefused = true
            throw error
          }
        }
        const sink = log.open(insert)
        return {
          push: (pairs) => counted(sink.push(pairs)),
          async finish() {
            const written = await counted(sink.finish())
            writesAcknowledged++
            writes.observe((nowMs() - startedMs) / 1000)
            return written
          },
        }
      },
    }),
    onPhase: (phase) => void phases.set(phase, (phases.get(phase) ?? 0) + 1),
    onPause: (elapsedMs) => pauses.observe(elapsedMs / 1000),
    counts: () => ({
      planned,
      answered,
      failed,
      answers: answers.read(),
      writesAcknowledged,
      writesRefused,
      writes: writes.read(),
      phases,
      pauses: pauses.read(),
    }),
  }
}
