import { defineTopology, type Topology } from '../../../pipelines/core/runtime/index.ts'
import type { Flow, RecordByName } from '../../../schemas/index.ts'
import { flowWindows } from './fixtures.ts'

/** Shape of the sessions of a test. */
export interface Shape {
  readonly gapMs: number
  readonly graceMs: number
  readonly maxLengthMs: number
}

/** Flows by stream in sessions, merged over partitions unless `merge` is 0. */
export function flowSessions(shape: Shape, merge = 2): Topology {
  const { sources, windows } = flowWindows()
  const streams = windows['streams'] as Topology['windows'][string]
  const { from, key, aggregates, to } = streams
  return defineTopology({
    name: 'test.sessions',
    sources,
    windows: {
      streams: {
        kind: 'session',
        from,
        key,
        ...shape,
        aggregates,
        ...(merge > 0 ? { merge: { topic: 'internal.slices', partitions: merge } } : {}),
        to,
      },
    },
  })
}

/** Sessions of flows as text lines, computed the plain way: all records of a key in the order of their time. */
export function plainSessions(
  flows: readonly Flow[],
  { gapMs, maxLengthMs }: Pick<Shape, 'gapMs' | 'maxLengthMs'>,
): string[] {
  const lines: string[] = []
  for (const [key, own] of Map.groupBy(flows, (f) => f.stream)) {
    const sorted = own.toSorted((a, b) => a.event_time_ms - b.event_time_ms)
    for (const chain of split(sorted, (before, f) => f.event_time_ms - before.event_time_ms > gapMs)) {
      const [first, last] = [chain[0] as Flow, chain.at(-1) as Flow]
      const line = (f: Flow) => Math.floor(f.event_time_ms / maxLengthMs)
      const isLong = last.event_time_ms - first.event_time_ms > maxLengthMs
      const sessions = isLong ? split(chain, (before, f) => line(f) !== line(before)) : [chain]
      for (const session of sessions) lines.push(lineOf(key, session))
    }
  }
  return lines.sort()
}

function split(flows: readonly Flow[], between: (before: Flow, f: Flow) => boolean): Flow[][] {
  const parts: Flow[][] = []
  for (const [i, f] of flows.entries()) {
    const before = flows[i - 1]
    if (before === undefined || between(before, f)) parts.push([])
    parts.at(-1)?.push(f)
  }
  return parts
}

const lineOf = (key: string, session: readonly Flow[]): string =>
  [
    `${key}@${session[0]?.event_time_ms}-${session.at(-1)?.event_time_ms}`,
    session.length,
    session.reduce((sum, f) => sum + f.bytes, 0),
    Math.max(...session.map((f) => f.packets)),
  ].join(' ')

/** Rows as the same text lines. */
export const sessionLines = (rows: readonly RecordByName['StreamFeature'][]): string[] =>
  rows
    .map((r) => `${r.stream}@${r.window_start_ms}-${r.window_end_ms} ${r.records} ${r.bytes} ${r.packets}`)
    .sort()

/** Which flows of one partition, in their order, are not late: their slice had not ended more than `graceMs` ago. */
export function onTime(flows: readonly Flow[], { gapMs, graceMs }: Shape): Flow[] {
  const sliceMs = gapMs % 4 === 0 ? gapMs / 4 : gapMs % 2 === 0 ? gapMs / 2 : gapMs
  let watermarkMs = Number.NEGATIVE_INFINITY
  return flows.filter(({ event_time_ms: timeMs }) => {
    watermarkMs = Math.max(watermarkMs, timeMs)
    return (Math.floor(timeMs / sliceMs) + 1) * sliceMs + graceMs > watermarkMs
  })
}
