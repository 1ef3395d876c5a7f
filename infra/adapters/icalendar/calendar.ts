import ICAL from 'ical.js'
import type { CalendarEvent } from '#schemas'
import { ForestallError } from '#core/ports'
import { type CalendarItem, splitCalendar } from './items.ts'
import { calendarEvent } from './to-event.ts'
import { isKnownZone, wallTimeMs } from './zones.ts'

/** How a calendar is read; times in ms since 1970. */
export interface CalendarOptions {
  /** Where it comes from: a file name, a URL. */
  readonly source: string
  /** Occurrences that end before are left out. */
  readonly fromMs: number
  /** Occurrences that start at or after are left out: rules without an end have to stop somewhere. */
  readonly toMs: number
  /** Now: nothing is known later. */
  readonly nowMs: number
  /** Kind of all events. Default: X-FORESTALL-KIND, `maintenance` where X-MAINTNOTE properties are, the first of CATEGORIES, else `event`. */
  readonly kind?: string
  /** Scope of all events. Default: X-FORESTALL-SCOPE, else `*`. */
  readonly scope?: string
  /** When all of them became known. Default: LAST-MODIFIED, else DTSTAMP, else now. */
  readonly issuedAtMs?: number
  /** Zone of times that name none and of whole days. Default: X-WR-TIMEZONE, else UTC. */
  readonly zone?: string
  /** Most occurrences of one event. Default 1,000. */
  readonly mostOccurrences?: number
}

/** An item that could not be read. */
export interface BadItem {
  readonly line: number
  readonly uid: string
  readonly reason: string
}

/** What a calendar says. */
export interface CalendarContent {
  /** One per event, one per occurrence of those that recur; `event_id` is the UID, then `/` and the recurrence id in UTC. */
  readonly events: readonly CalendarEvent[]
  /** All UIDs that could be read: occurrences of them that are not among the events have been withdrawn. */
  readonly uids: ReadonlySet<string>
  readonly bad: readonly BadItem[]
}

const MOST_OCCURRENCES = 1000
/** A rule that starts in 1900 and recurs every second is given up after this many steps. */
const MOST_STEPS = 50_000

/** A VEVENT that could be parsed. */
interface Parsed {
  readonly item: CalendarItem
  readonly component: ICAL.Component
  readonly uid: string
}

/**
 * Reads iCalendar text: rules, exceptions, moved and cancelled occurrences, whole days, zones by their IANA name or as the calendar defines
 * them. An item that cannot be read is reported with its line, the others are read. Throws RECORD_INVALID for what is no
 * calendar, CONFIG_INVALID for a default zone that is not known.
 */
export function readCalendar(text: string, options: CalendarOptions): CalendarContent {
  const calendar = splitCalendar(text)
  if (calendar === undefined)
    throw new ForestallError('RECORD_INVALID', `${options.source}: no BEGIN:VCALENDAR, so no calendar`)
  const zone = options.zone ?? calendar.zone ?? 'UTC'
  if (!isKnownZone(zone))
    throw new ForestallError('CONFIG_INVALID', `${options.source}: the zone "${zone}" is not known`, {
      cure: 'Give an IANA name with --zone, such as Europe/Paris.',
    })
  const bad: BadItem[] = []
  const zones = new ICAL.Component('vcalendar')
  for (const item of calendar.items)
    if (item.kind === 'VTIMEZONE') attempt(bad, item, () => addTo(zones, item))
  const parsed = calendar.items.flatMap((item) => {
    if (item.kind !== 'VEVENT') return []
    const one = attempt(bad, item, () => parse(zones, item))
    return one === undefined ? [] : [one]
  })
  const context: Context = { options, zone, isCancellation: calendar.isCancellation }
  const events: CalendarEvent[] = []
  const uids = new Set<string>()
  for (const [uid, same] of Map.groupBy(parsed, (one) => one.uid)) {
    const first = same[0] as Parsed
    const own = attempt(bad, first.item, () => eventsOf(context, uid, same), uid)
    if (own === undefined) continue
    uids.add(uid)
    events.push(...own)
  }
  return { events, uids, bad: bad.sort((a, b) => a.line - b.line) }
}

/** What does not differ from event to event. */
export interface Context {
  readonly options: CalendarOptions
  readonly zone: string
  readonly isCancellation: boolean
}

function attempt<T>(bad: BadItem[], item: CalendarItem, work: () => T, uid = uidOf(item)): T | undefined {
  try {
    return work()
  } catch (error) {
    bad.push({ line: item.line, uid, reason: (error as Error).message })
    return undefined
  }
}

const uidOf = ({ text }: CalendarItem): string => /^UID[^:\r\n]*:(.*)$/im.exec(text)?.[1]?.trim() ?? ''

function addTo(zones: ICAL.Component, item: CalendarItem): ICAL.Component {
  if (!item.isComplete) throw new RangeError(`${item.kind} has no END`)
  const wrapped = `BEGIN:VCALENDAR\r\n${item.text}\r\nEND:VCALENDAR`
  const component = new ICAL.Component(ICAL.parse(wrapped)).getFirstSubcomponent(item.kind.toLowerCase())
  if (component === null) throw new RangeError(`no ${item.kind}`)
  // Among the zones of its calendar, an item finds those that it names.
  zones.addSubcomponent(component)
  return component
}

function parse(zones: ICAL.Component, item: CalendarItem): Parsed {
  const component = addTo(zones, item)
  const uid = String(component.getFirstPropertyValue('uid') ?? '')
  if (uid === '') throw new RangeError('no UID')
  const start = component.getFirstPropertyValue('dtstart')
  if (!(start instanceof ICAL.Time)) throw new RangeError('no DTSTART')
  return { item, component, uid }
}

/** The records of one UID: its event or occurrences, with those that were moved or cancelled one by one. */
function eventsOf(context: Context, uid: string, same: readonly Parsed[]): CalendarEvent[] {
  const { fromMs, toMs } = context.options
  const newest = newestRevisions(same)
  const master = newest.find(({ component }) => !component.hasProperty('recurrence-id'))
  const exceptions = newest.filter(({ component }) => component.hasProperty('recurrence-id'))
  const made: CalendarEvent[] = []
  const add = (component: ICAL.Component, start: ICAL.Time, end: ICAL.Time, id: string, endsIn: string) => {
    const starts = propertyOf(component, 'dtstart')
    const fromTime = timeMs(start, starts, context.zone)
    const toTime = timeMs(end, propertyOf(component, endsIn) ?? starts, context.zone)
    if (toTime < fromTime) throw new RangeError('ends before it starts')
    if (fromTime >= toMs || toTime < fromMs) return
    made.push(calendarEvent(context, component, id, fromTime, toTime))
  }
  if (master === undefined || !new ICAL.Event(master.component).isRecurring()) {
    for (const { component } of newest) {
      const event = new ICAL.Event(component)
      const isException = component.hasProperty('recurrence-id')
      const id = isException ? `${uid}/${stamp(component, event.recurrenceId, context.zone)}` : uid
      add(component, event.startDate, event.endDate, id, 'dtend')
    }
    return made
  }
  const event = new ICAL.Event(master.component, { exceptions: exceptions.map((one) => one.component) })
  forEachOccurrence(event, master.component, context, (details) => {
    const id = `${uid}/${stamp(master.component, details.recurrenceId, context.zone)}`
    const { component } = details.item
    // The end of an ordinary occurrence is counted from its start, in the zone of the start.
    add(
      component,
      details.startDate,
      details.endDate,
      id,
      component === master.component ? 'dtstart' : 'dtend',
    )
  })
  return made
}

/** Of an event and of each of its moved occurrences, the revision with the highest SEQUENCE; the last of equals. */
function newestRevisions(same: readonly Parsed[]): Parsed[] {
  const newest = new Map<string, Parsed>()
  for (const one of same) {
    const id = String(one.component.getFirstPropertyValue('recurrence-id') ?? '')
    const held = newest.get(id)
    if (held === undefined || sequenceOf(one) >= sequenceOf(held)) newest.set(id, one)
  }
  return [...newest.values()]
}

const sequenceOf = ({ component }: Parsed): number => Number(component.getFirstPropertyValue('sequence') ?? 0)

type Details = ReturnType<ICAL.Event['getOccurrenceDetails']>

function forEachOccurrence(
  event: ICAL.Event,
  component: ICAL.Component,
  { options, zone }: Context,
  visit: (details: Details) => void,
): void {
  const { fromMs, toMs, mostOccurrences = MOST_OCCURRENCES } = options
  const property = propertyOf(component, 'dtstart')
  const lengthMs = event.duration.toSeconds() * 1000
  const iterator = event.iterator()
  let found = 0
  for (let step = 0; step < MOST_STEPS; step++) {
    const next = iterator.next() as ICAL.Time | null | undefined
    if (!next) return
    const startMs = timeMs(next, property, zone)
    // A moved occurrence may lie up to a week from where the rule puts it.
    if (startMs >= toMs + AROUND_MS) return
    if (startMs + lengthMs < fromMs - AROUND_MS) continue
    if (++found > mostOccurrences) return
    visit(event.getOccurrenceDetails(next))
  }
  throw new RangeError(`the rule takes more than ${MOST_STEPS} steps to reach the time that is asked for`)
}

const AROUND_MS = 7 * 86_400_000

const propertyOf = (component: ICAL.Component, name: string): ICAL.Property | undefined =>
  component.getFirstProperty(name) ?? undefined

/** A time of the calendar as ms since 1970: UTC, in the zone its property names, or in the default one. */
function timeMs(time: ICAL.Time, property: ICAL.Property | undefined, zone: string): number {
  if (time.zone === ICAL.Timezone.utcTimezone) return time.toUnixTime() * 1000
  const named = property?.getFirstParameter('tzid')
  if (named === undefined || named === '' || time.isDate) return wallTimeMs(time, zone)
  if (isKnownZone(named)) return wallTimeMs(time, named)
  if (time.zone !== ICAL.Timezone.localTimezone && time.zone !== null) return time.toUnixTime() * 1000
  throw new RangeError(`the zone "${named}" is neither known nor defined in the calendar`)
}

/** A recurrence id as text in UTC, which stays the same in every export: `20260612T173000Z`. */
function stamp(component: ICAL.Component, time: ICAL.Time, zone: string): string {
  const property = propertyOf(component, 'recurrence-id') ?? propertyOf(component, 'dtstart')
  return new Date(timeMs(time, property, zone)).toISOString().replaceAll(/[-:]|\.000/g, '')
}
