import type { AggregateSpec, ClosedWindow, SourceSpec } from '#core/runtime'
import type { WindowSettings } from './settings.ts'

/** A source of records that say when they happened in `event_time_ms`. */
export const sourceOf = (
  settings: WindowSettings,
  spec: Pick<SourceSpec, 'topic' | 'record' | 'fields' | 'check'>,
): SourceSpec => ({
  ...spec,
  eventTime: 'event_time_ms',
  maxAheadMs: settings.maxAheadMs,
  earliestMs: settings.earliestMs,
  idleMs: settings.idleMs,
  maxRecordBytes: settings.maxRecordBytes,
})

/** Windows one behind the other, of the length that is set. */
export const tumbling = ({ windowMs, graceMs }: WindowSettings) => ({
  sizeMs: windowMs,
  advanceMs: windowMs,
  graceMs,
})

/** What every feature record says of its window. */
export const windowFields = (w: ClosedWindow) => ({
  window_start_ms: w.startMs,
  window_end_ms: w.endMs,
  incomplete: w.incomplete,
})

/** A feature record whose fields are named as the aggregates, and the key; what has no value is 0. */
export const plainRow =
  (key: string, aggregates: Readonly<Record<string, AggregateSpec>>) =>
  (w: ClosedWindow): object => ({
    ...windowFields(w),
    [key]: w.key,
    ...Object.fromEntries(Object.keys(aggregates).map((name) => [name, valueOf(w, name)])),
  })

/** A quantile of a window; 0 where it has no values. */
export function quantileOf(w: ClosedWindow, aggregate: string, level: number): number {
  return finite(w.quantile(aggregate, level))
}

/** A value of a window; 0 where it has none. */
export const valueOf = (w: ClosedWindow, aggregate: string): number => finite(w.value(aggregate))

const finite = (value: number): number => (Number.isFinite(value) ? value : 0)
