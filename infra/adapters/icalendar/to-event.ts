import ICAL from 'ical.js'
import type { CalendarEvent } from '#schemas'
import type { Context } from './calendar.ts'

/** How much each impact of a maintenance note (BCOP maintnote) is worth, 0..1. */
const IMPACT: Readonly<Record<string, number>> = {
  'NO-IMPACT': 0,
  'REDUCED-REDUNDANCY': 0.3,
  DEGRADED: 0.6,
  OUTAGE: 1,
}

/** The record of one event or occurrence. */
export function calendarEvent(
  { options, isCancellation }: Context,
  component: ICAL.Component,
  id: string,
  fromMs: number,
  toMs: number,
): CalendarEvent {
  const { source, nowMs, kind, scope, issuedAtMs } = options
  return {
    event_id: id,
    revision: Math.max(0, Math.trunc(Number(component.getFirstPropertyValue('sequence') ?? 0)) || 0),
    kind: kind ?? kindOf(component),
    scope: scope ?? textOf(component, 'x-forestall-scope') ?? '*',
    summary: textOf(component, 'summary') ?? '',
    issued_at_ms: issuedAtMs ?? Math.min(nowMs, knownSince(component) ?? nowMs),
    valid_from_ms: fromMs,
    valid_to_ms: toMs,
    severity: severityOf(component),
    source,
    cancelled: isCancellation || isCancelled(component),
    geometry: geometryOf(component),
  }
}

function textOf(component: ICAL.Component, name: string): string | undefined {
  const value = component.getFirstPropertyValue(name)
  const text = typeof value === 'string' ? value.trim() : ''
  return text === '' ? undefined : text
}

function kindOf(component: ICAL.Component): string {
  const own = textOf(component, 'x-forestall-kind')
  if (own !== undefined) return own
  if (component.getAllProperties().some(({ name }) => name.startsWith('x-maintnote'))) return 'maintenance'
  return textOf(component, 'categories')?.toLowerCase() ?? 'event'
}

/** When this revision was written, as the calendar has it. */
function knownSince(component: ICAL.Component): number | undefined {
  for (const name of ['last-modified', 'dtstamp']) {
    const value = component.getFirstPropertyValue(name)
    if (value instanceof ICAL.Time) return value.toUnixTime() * 1000
  }
  return undefined
}

function isCancelled(component: ICAL.Component): boolean {
  const states = ['status', 'x-maintnote-status'].map((name) => textOf(component, name)?.toUpperCase())
  return states.includes('CANCELLED')
}

/** X-FORESTALL-SEVERITY, else the impact of a maintenance note, else PRIORITY (1 highest .. 9 lowest); 0 if nothing is said. */
function severityOf(component: ICAL.Component): number {
  const own = Number(textOf(component, 'x-forestall-severity') ?? Number.NaN)
  if (Number.isFinite(own)) return Math.max(0, Math.min(1, own))
  const impact = IMPACT[textOf(component, 'x-maintnote-impact')?.toUpperCase() ?? '']
  if (impact !== undefined) return impact
  const priority = Number(component.getFirstPropertyValue('priority') ?? 0)
  return priority >= 1 && priority <= 9 ? (10 - priority) / 9 : 0
}

/** GEO as a GeoJSON point. */
function geometryOf(component: ICAL.Component): string | null {
  const value: unknown = component.getFirstPropertyValue('geo')
  if (!Array.isArray(value) || value.length !== 2) return null
  const [latitude, longitude] = value.map(Number)
  return Number.isFinite(latitude) && Number.isFinite(longitude)
    ? JSON.stringify({ type: 'Point', coordinates: [longitude, latitude] })
    : null
}
