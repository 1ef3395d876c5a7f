import { assert, property, string, constantFrom, array } from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { CalendarEvent } from '#schemas'
import { type CalendarOptions, readCalendar } from '#infra/adapters'

const NOW = Date.UTC(2026, 5, 1)
const DAY = 86_400_000
const OPTIONS: CalendarOptions = {
  source: 'test.ics',
  fromMs: NOW - 400 * DAY,
  toMs: NOW + 400 * DAY,
  nowMs: NOW,
}

const calendar = (...lines: string[]): string =>
  ['BEGIN:VCALENDAR', 'VERSION:2.0', ...lines, 'END:VCALENDAR'].join('\r\n')
const event = (...lines: string[]): string[] => ['BEGIN:VEVENT', ...lines, 'END:VEVENT']
const read = (text: string, over: Partial<CalendarOptions> = {}) =>
  readCalendar(text, { ...OPTIONS, ...over })
const times = ({ valid_from_ms, valid_to_ms }: CalendarEvent) => [
  new Date(valid_from_ms).toISOString(),
  new Date(valid_to_ms).toISOString(),
]

/** Central Europe by rule, under a name that only this calendar knows. */
const OWN_ZONE = [
  'BEGIN:VTIMEZONE',
  'TZID:Head office',
  'BEGIN:STANDARD',
  'DTSTART:19701025T030000',
  'RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU',
  'TZOFFSETFROM:+0200',
  'TZOFFSETTO:+0100',
  'END:STANDARD',
  'BEGIN:DAYLIGHT',
  'DTSTART:19700329T020000',
  'RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU',
  'TZOFFSETFROM:+0100',
  'TZOFFSETTO:+0200',
  'END:DAYLIGHT',
  'END:VTIMEZONE',
]

describe('one event', () => {
  test('has its times in UTC, and what the calendar says of it', () => {
    const { events, bad } = read(
      calendar(
        ...event(
          'UID:m1@x',
          'SEQUENCE:3',
          'DTSTAMP:20260501T080000Z',
          'SUMMARY:France v Brazil\\, the final',
          'CATEGORIES:Match,Football',
          'DTSTART:20260612T173000Z',
          'DTEND:20260612T193000Z',
          'PRIORITY:1',
          'GEO:48.92;2.36',
        ),
      ),
    )
    expect(bad).toEqual([])
    expect(events).toEqual([
      {
        event_id: 'm1@x',
        revision: 3,
        kind: 'match',
        scope: '*',
        summary: 'France v Brazil, the final',
        issued_at_ms: Date.UTC(2026, 4, 1, 8),
        valid_from_ms: Date.UTC(2026, 5, 12, 17, 30),
        valid_to_ms: Date.UTC(2026, 5, 12, 19, 30),
        severity: 1,
        source: 'test.ics',
        cancelled: false,
        geometry: '{"type":"Point","coordinates":[2.36,48.92]}',
      },
    ])
  })

  test.each([
    ['UTC', 'DTSTART:20260701T120000Z', [], 'T12:00'],
    ['a zone by its name', 'DTSTART;TZID=Europe/Paris:20260701T120000', [], 'T10:00'],
    ['a zone the calendar defines', 'DTSTART;TZID=Head office:20260701T120000', OWN_ZONE, 'T10:00'],
    ['no zone: that of the calendar', 'DTSTART:20260701T120000', ['X-WR-TIMEZONE:Asia/Tokyo'], 'T03:00'],
    ['no zone at all: UTC', 'DTSTART:20260701T120000', [], 'T12:00'],
  ])('in %s', (_, start, before, expected) => {
    const { events, bad } = read(calendar(...before, ...event('UID:z', start, 'DURATION:PT90M')))
    expect(bad).toEqual([])
    const hour = Number(expected.slice(1, 3))
    expect(times(events[0]!)).toEqual([
      `2026-07-01T${String(hour).padStart(2, '0')}:00:00.000Z`,
      `2026-07-01T${String(hour + 1).padStart(2, '0')}:30:00.000Z`,
    ])
  })

  test('of a whole day lasts from midnight to midnight where the calendar is', () => {
    const text = calendar(...event('UID:d', 'DTSTART;VALUE=DATE:20260329', 'SUMMARY:Change of clocks'))
    expect(times(read(text).events[0]!)).toEqual(['2026-03-29T00:00:00.000Z', '2026-03-30T00:00:00.000Z'])
    expect(times(read(text, { zone: 'Europe/Berlin' }).events[0]!)).toEqual([
      '2026-03-28T23:00:00.000Z',
      '2026-03-29T22:00:00.000Z',
    ])
  })

  test('that was withdrawn is cancelled, whichever way the calendar says it', () => {
    const lines = ['UID:c', 'DTSTART:20260612T173000Z']
    expect(read(calendar(...event(...lines, 'STATUS:CANCELLED'))).events[0]!.cancelled).toBe(true)
    expect(read(calendar('METHOD:CANCEL', ...event(...lines))).events[0]!.cancelled).toBe(true)
    expect(read(calendar(...event(...lines, 'X-MAINTNOTE-STATUS:CANCELLED'))).events[0]!).toMatchObject({
      cancelled: true,
      kind: 'maintenance',
    })
    expect(read(calendar(...event(...lines, 'STATUS:CONFIRMED'))).events[0]!.cancelled).toBe(false)
  })

  test('of a maintenance note has its impact; kind and scope can be given', () => {
    const text = calendar(
      ...event(
        'UID:n',
        'DTSTART:20260612T173000Z',
        'X-MAINTNOTE-IMPACT:DEGRADED',
        'X-FORESTALL-SCOPE:ATLAng>*',
      ),
    )
    expect(read(text).events[0]).toMatchObject({ kind: 'maintenance', severity: 0.6, scope: 'ATLAng>*' })
    expect(read(text, { kind: 'works', scope: 'a' }).events[0]).toMatchObject({ kind: 'works', scope: 'a' })
  })

  test('is known when it was last modified, and never later than now', () => {
    const at = (...lines: string[]) =>
      read(calendar(...event('UID:k', 'DTSTART:20260612T173000Z', ...lines))).events[0]!.issued_at_ms
    expect(at('DTSTAMP:20260501T000000Z', 'LAST-MODIFIED:20260520T000000Z')).toBe(Date.UTC(2026, 4, 20))
    expect(at('DTSTAMP:20990101T000000Z')).toBe(NOW)
    expect(at()).toBe(NOW)
    const text = calendar(...event('UID:k', 'DTSTART:20260612T173000Z'))
    expect(read(text, { issuedAtMs: 7 }).events[0]!.issued_at_ms).toBe(7)
  })
})

describe('an event that recurs', () => {
  test('keeps its hour on the wall over a change of clocks, and its ids from export to export', () => {
    const { events } = read(
      calendar(
        ...event(
          'UID:w',
          'DTSTART;TZID=Europe/Paris:20260322T200000',
          'DTEND;TZID=Europe/Paris:20260322T220000',
          'RRULE:FREQ=WEEKLY;COUNT=3',
        ),
      ),
    )
    expect(events.map((e) => [e.event_id, ...times(e)])).toEqual([
      ['w/20260322T190000Z', '2026-03-22T19:00:00.000Z', '2026-03-22T21:00:00.000Z'],
      ['w/20260329T180000Z', '2026-03-29T18:00:00.000Z', '2026-03-29T20:00:00.000Z'],
      ['w/20260405T180000Z', '2026-04-05T18:00:00.000Z', '2026-04-05T20:00:00.000Z'],
    ])
  })

  test('leaves out its exceptions, moves and cancels single occurrences, and follows the highest SEQUENCE', () => {
    const rule = [
      'UID:r',
      'DTSTART:20260601T100000Z',
      'DTEND:20260601T110000Z',
      'RRULE:FREQ=DAILY;COUNT=5',
      'EXDATE:20260602T100000Z',
    ]
    const { events, bad } = read(
      calendar(
        ...event(...rule),
        ...event(
          'UID:r',
          'SEQUENCE:1',
          'RECURRENCE-ID:20260603T100000Z',
          'DTSTART:20260603T140000Z',
          'DTEND:20260603T150000Z',
          'SUMMARY:old',
        ),
        ...event(
          'UID:r',
          'SEQUENCE:2',
          'RECURRENCE-ID:20260603T100000Z',
          'DTSTART:20260603T160000Z',
          'DTEND:20260603T170000Z',
          'SUMMARY:moved',
        ),
        ...event('UID:r', 'RECURRENCE-ID:20260604T100000Z', 'DTSTART:20260604T100000Z', 'STATUS:CANCELLED'),
      ),
    )
    expect(bad).toEqual([])
    expect(events.map((e) => [e.event_id, times(e)[0], e.cancelled, e.summary])).toEqual([
      ['r/20260601T100000Z', '2026-06-01T10:00:00.000Z', false, ''],
      ['r/20260603T100000Z', '2026-06-03T16:00:00.000Z', false, 'moved'],
      ['r/20260604T100000Z', '2026-06-04T10:00:00.000Z', true, ''],
      ['r/20260605T100000Z', '2026-06-05T10:00:00.000Z', false, ''],
    ])
  })

  test('without an end stops where the import does, and after a number of occurrences', () => {
    const text = calendar(...event('UID:e', 'DTSTART:20200101T000000Z', 'RRULE:FREQ=DAILY'))
    const { events } = read(text, { fromMs: NOW, toMs: NOW + 10 * DAY })
    expect(events).toHaveLength(10)
    expect(read(text, { mostOccurrences: 4 }).events.length).toBeLessThanOrEqual(4)
    const endless = read(calendar(...event('UID:s', 'DTSTART:19000101T000000Z', 'RRULE:FREQ=SECONDLY')))
    expect(endless.events).toEqual([])
    expect(endless.bad[0]).toMatchObject({ line: 3, uid: 's' })
    expect(endless.bad[0]!.reason).toMatch(/steps/)
  })
})

describe('bad input', () => {
  test('is reported with its line, and the rest is read', () => {
    const { events, bad } = read(
      calendar(
        ...event('UID:good', 'DTSTART:20260612T173000Z'),
        ...event('UID:no-start', 'SUMMARY:x'),
        ...event('DTSTART:20260612T173000Z'),
        ...event('UID:nonsense', 'DTSTART:yesterday'),
        ...event('UID:zone', 'DTSTART;TZID=Middle Earth:20260612T173000'),
        ...event('UID:backwards', 'DTSTART:20260612T173000Z', 'DTEND:20260611T173000Z'),
        ...event('UID:rule', 'DTSTART:20260612T173000Z', 'RRULE:FREQ=SOMETIMES'),
        'BEGIN:VEVENT',
        'UID:open',
      ),
    )
    expect(events.map((e) => e.event_id)).toEqual(['good'])
    expect(bad.map(({ line, uid }) => [line, uid])).toEqual([
      [7, 'no-start'],
      [11, ''],
      [14, 'nonsense'],
      [18, 'zone'],
      [22, 'backwards'],
      [27, 'rule'],
      [32, 'open'],
    ])
    for (const { reason } of bad) expect(reason).not.toBe('')
  })

  test('that is no calendar is refused, as is a zone nobody knows', () => {
    expect(() => read('hello')).toThrow(expect.objectContaining({ code: 'RECORD_INVALID' }))
    expect(() => read(calendar(), { zone: 'Mars' })).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    )
  })

  test('whatever it is, either is read into sound records or reported', () => {
    const line = constantFrom(
      'BEGIN:VEVENT',
      'END:VEVENT',
      'UID:a',
      'UID:b',
      'DTSTART:20260612T173000Z',
      'DTSTART;VALUE=DATE:20260612',
      'DTEND:20260612T183000Z',
      'DTEND;VALUE=DATE:20260614',
      'RRULE:FREQ=WEEKLY;COUNT=3',
      'EXDATE:20260619T173000Z',
      'RECURRENCE-ID:20260619T173000Z',
      'SEQUENCE:x',
      'PRIORITY:0',
      ' folded',
      'STATUS:CANCELLED',
      'BEGIN:VTIMEZONE',
      'END:VTIMEZONE',
      'GEO:1',
      'DURATION:P1X',
    )
    assert(
      property(array(line, { maxLength: 25 }), string(), (lines, noise) => {
        const { events } = read(calendar(...lines, noise))
        for (const e of events) {
          expect(e.event_id).not.toBe('')
          expect(e.valid_to_ms).toBeGreaterThanOrEqual(e.valid_from_ms)
          expect(e.severity >= 0 && e.severity <= 1).toBe(true)
          expect(e.issued_at_ms).toBeLessThanOrEqual(NOW)
        }
      }),
      { numRuns: 300 },
    )
  })
})
