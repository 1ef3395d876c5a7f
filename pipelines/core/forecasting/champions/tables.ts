import type { CalendarEvent, Model } from '#schemas'
import { type GlobalNet, globalNet } from '../global-net.ts'
import type { KnownEvent } from '../events/index.ts'
import { decodeNet } from './net-state.ts'
import { type SeriesModel, seriesModel } from './series-model.ts'
import type { Donor } from './similar.ts'

/**
 * What a forecaster is told beside its input: the calendar and the champions, two compacted topics that somebody follows. They steer forecasts
 * that are still to be issued; what has been issued stands. So they need no place in the account of exactly-once: a restart
 * reads them again. Nothing of them is used before the event time it was issued at or trained through, so that a replay
 * comes to the same state if they have not changed since, and to one that is a little better informed if they have.
 */
export interface ForecastTables {
  /** Resolves once all that stood at the start has been read. */
  ready(): Promise<void>
  /** Revisions held of all events: see `eventsKnownAt`. */
  events(): readonly KnownEvent[]
  /** The champion of a series (`modelKey`). */
  model(key: string): SeriesModel | undefined
  /** Series of this scope and metric that a new one may learn from. */
  donors(scope: string, metric: string): readonly Donor[]
  /** Networks by id; the map grows as records come. */
  readonly nets: ReadonlyMap<string, GlobalNet>
}

/** Tables that records of the two topics are put into; `null` withdraws. */
export interface FillableTables extends Omit<ForecastTables, 'ready'> {
  putEvent(id: string, event: CalendarEvent | null): void
  putModel(key: string, model: Model | null): void
  /** The networks as their records carry them, by id. */
  readonly netStates: ReadonlyMap<string, NetState>
}

/** A network's bytes (`decodeNet`), and the version of its record. */
export interface NetState {
  readonly version: number
  readonly state: Uint8Array
}

/** No calendar, no champions: each series chooses for itself. */
export const NO_TABLES: ForecastTables = {
  ready: () => Promise.resolve(),
  events: () => [],
  model: () => undefined,
  donors: () => [],
  nets: new Map(),
}

/** Revisions of an event that are kept: a compacted topic keeps one, a replay of what was known needs the few before it. */
const MOST_REVISIONS = 8
/** Donors kept per scope and metric: enough to find a similar one, whatever the number of series. */
const MOST_DONORS = 256

/** A CalendarEvent record as forecasting sees it. */
export const knownEvent = (record: CalendarEvent): KnownEvent => ({
  id: record.event_id,
  revision: record.revision,
  kind: record.kind,
  scope: record.scope,
  summary: record.summary,
  issuedAtMs: record.issued_at_ms,
  validFromMs: record.valid_from_ms,
  validToMs: record.valid_to_ms,
  severity: record.severity,
  cancelled: record.cancelled,
})

/** Empty tables. */
export function fillableTables(): FillableTables {
  const revisions = new Map<string, KnownEvent[]>()
  let all: readonly KnownEvent[] | undefined
  const models = new Map<string, SeriesModel>()
  const donors = new Map<string, Map<string, Donor>>()
  const nets = new Map<string, GlobalNet>()
  const netStates = new Map<string, NetState>()
  const poolOf = (scope: string, metric: string) => {
    const pool = `${scope}\n${metric}`
    let held = donors.get(pool)
    if (held === undefined) donors.set(pool, (held = new Map<string, Donor>()))
    return held
  }
  return {
    nets,
    netStates,
    events: () => (all ??= [...revisions.values()].flat()),
    model: (key) => models.get(key),
    donors: (scope, metric) => [...poolOf(scope, metric).values()],
    putEvent: (id, event) => {
      all = undefined
      if (event === null) {
        revisions.delete(id)
        return
      }
      const held = (revisions.get(id) ?? []).filter((known) => known.revision !== event.revision)
      revisions.set(id, [...held, knownEvent(event)].slice(-MOST_REVISIONS))
    },
    putModel: (key, record) => {
      if (record === null) {
        models.delete(key)
        for (const pool of donors.values()) pool.delete(key)
        return
      }
      if (record.kind === 'network') {
        const net = globalNet(decodeNet(record.state))
        nets.set(net.layout.id, net)
        netStates.set(net.layout.id, { version: record.version, state: record.state })
      }
      if (record.kind !== 'series') return
      const model = seriesModel(record)
      const before = models.get(key)
      if (before !== undefined && before.version >= model.version) return
      models.set(key, model)
      const pool = poolOf(record.scope, record.metric)
      if (pool.has(key) || pool.size < MOST_DONORS) pool.set(key, { key, entity: record.entity, model })
    },
  }
}
