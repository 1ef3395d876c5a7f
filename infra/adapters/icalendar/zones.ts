import type ICAL from 'ical.js'

const formats = new Map<string, Intl.DateTimeFormat>()

/** True if this is a zone that the runtime knows (`Europe/Paris`). */
export function isKnownZone(zone: string): boolean {
  try {
    formatOf(zone)
    return true
  } catch {
    return false
  }
}

/** A time on the wall in a zone known to the runtime, as ms since 1970. In the hour that is skipped in spring, the time after the change; in the one that is repeated in autumn, the first. */
export function wallTimeMs(time: ICAL.Time, zone: string): number {
  const wall = Date.UTC(time.year, time.month - 1, time.day, time.hour, time.minute, time.second)
  const before = wall - offsetMs(wall - 86_400_000, zone)
  const after = wall - offsetMs(wall + 86_400_000, zone)
  // Away from a change both say the same. Near one, the offset that is in force at the moment found is right.
  for (const candidate of [Math.min(before, after), Math.max(before, after)]) {
    if (candidate + offsetMs(candidate, zone) === wall) return candidate
  }
  return Math.max(before, after)
}

/** Distance of a zone's wall clock from UTC at a moment, ms. */
function offsetMs(atMs: number, zone: string): number {
  const parts = new Map(
    formatOf(zone)
      .formatToParts(atMs)
      .map(({ type, value }) => [type, Number(value)]),
  )
  const at = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0
  const wall = Date.UTC(at('year'), at('month') - 1, at('day'), at('hour'), at('minute'), at('second'))
  return wall - Math.floor(atMs / 1000) * 1000
}

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      era: 'short',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    formats.set(zone, format)
  }
  return format
}
