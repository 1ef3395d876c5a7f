/** A VEVENT or VTIMEZONE as text, with the line of its BEGIN. */
export interface CalendarItem {
  readonly kind: 'VEVENT' | 'VTIMEZONE'
  readonly line: number
  readonly text: string
  /** False: the text ends before its END. */
  readonly isComplete: boolean
}

/** A calendar cut into its items, and the few properties of the whole that matter. */
export interface CalendarText {
  readonly items: readonly CalendarItem[]
  /** METHOD:CANCEL withdraws everything in it. */
  readonly isCancellation: boolean
  /** X-WR-TIMEZONE: what times without a zone are in. */
  readonly zone: string | undefined
}

/** Cuts iCalendar text (RFC 5545) so that an item that cannot be read does not take the others with it. Undefined if it is no calendar. */
export function splitCalendar(text: string): CalendarText | undefined {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)
  const items: CalendarItem[] = []
  let open: { kind: CalendarItem['kind']; line: number; from: number } | undefined
  let isCalendar = false
  let isCancellation = false
  let zone: string | undefined
  const close = (to: number, isComplete: boolean) => {
    if (open === undefined) return
    const { kind, line, from } = open
    items.push({ kind, line, isComplete, text: lines.slice(from, to).join('\r\n') })
    open = undefined
  }
  lines.forEach((raw, i) => {
    const line = raw.trimEnd().toUpperCase()
    if (line === 'BEGIN:VCALENDAR') isCalendar = true
    else if (line === 'BEGIN:VEVENT' || line === 'BEGIN:VTIMEZONE') {
      close(i, false)
      open = { kind: line.slice(6) as CalendarItem['kind'], line: i + 1, from: i }
    } else if (open !== undefined && line === `END:${open.kind}`) close(i + 1, true)
    else if (open === undefined && line === 'METHOD:CANCEL') isCancellation = true
    else if (open === undefined && line.startsWith('X-WR-TIMEZONE:')) zone = raw.trimEnd().slice(14)
  })
  close(lines.length, false)
  return isCalendar ? { items, isCancellation, zone } : undefined
}
