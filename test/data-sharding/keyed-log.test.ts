import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { keyedTrace } from '../../pipelines/data-sharding/evaluation/keyed-log.ts'
import { csvCells, timeMs } from '../../pipelines/data-sharding/evaluation/rows.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'keyed-log-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

function traceOf(name: string, content: string | Uint8Array) {
  const path = join(folder, name)
  writeFileSync(path, content)
  return keyedTrace(path, name)
}

const TWO_DAYS = Array.from(
  { length: 192 },
  (_, i) => [new Date(Date.UTC(2026, 0, 5) + i * 900_000).toISOString(), `k${i % 5}`] as const,
)
const csv = (rows: readonly (readonly string[])[], head = 'time,key') =>
  `${head}\n${rows.map((row) => row.join(',')).join('\n')}\n`

describe('one log in every form gives one trace', () => {
  test.each([
    ['plain.csv', csv(TWO_DAYS)],
    ['bom.csv', `\uFEFF${csv(TWO_DAYS)}`],
    ['crlf.csv', csv(TWO_DAYS).replaceAll('\n', '\r\n')],
    ['unsorted.csv', csv(TWO_DAYS.toReversed())],
    ['quoted.csv', csv(TWO_DAYS.map(([time, key]) => [`"${time}"`, `"${key}"`]))],
    [
      'other.csv',
      csv(
        TWO_DAYS.map(([time, key]) => ['x', key, time]),
        'note,entity,ts',
      ),
    ],
    ['packed.csv.gz', gzipSync(csv(TWO_DAYS))],
    ['seconds.csv', csv(TWO_DAYS.map(([time, key]) => [String(Date.parse(time) / 1000), key]))],
    [
      'lines.jsonl',
      TWO_DAYS.map(([time, key]) => JSON.stringify({ time: Date.parse(time), key })).join('\n'),
    ],
  ])('%s', (name, content) => {
    const trace = traceOf(name, content)
    expect([trace.steps, trace.start, trace.t0]).toEqual([192, 48, 96])
    expect(trace.work).toEqual(traceOf('reference.csv', csv(TWO_DAYS)).work)
  })

  test('the same key at the same time counts each time, with its work', () => {
    const rows = TWO_DAYS.flatMap(([time, key]) => [
      [time, key, '2'],
      [time, key, '0.5'],
    ])
    const { work } = traceOf('work.csv', csv(rows, 'time,key,work'))
    expect(work.reduce((sum, x) => sum + x, 0)).toBe(192 * 2.5)
  })
})

describe('what cannot be scored is refused with file, line and cure', () => {
  const good = (rows: readonly (readonly string[])[]) => [...TWO_DAYS.map((row) => [...row, '1']), ...rows]
  const withWork = (work: string) => csv(good([['2026-01-06T00:00:00Z', 'a', work]]), 'time,key,work')
  test.each([
    ['header.csv', 'when,who\n1,a\n', 'line 1: no time'],
    ['nothing.csv', '', 'line 1: no time'],
    ['head-only.csv', 'time,key\n', 'no query with work above 0'],
    ['nan.csv', withWork('NaN'), "line 194: work = 'NaN'"],
    ['blank.csv', withWork(''), "line 194: work = ''"],
    ['negative.csv', withWork('-3'), "line 194: work = '-3'"],
    ['huge.csv', withWork('1e308'), "line 194: work = '1e308'"],
    ['time.csv', csv([['yesterday', 'a']]), "line 2: 'yesterday' is no time"],
    ['no-time.csv', csv([['', 'a']]), 'line 2: no time'],
    ['no-key.csv', csv([['2026-01-01T00:00:00Z', '']]), 'line 2: no key'],
    ['broken.jsonl', `${JSON.stringify({ time: 1, key: 'a' })}\n{broken\n`, 'line 2: no JSON object'],
    ['array.jsonl', '[1,2]\n', 'line 1: no JSON object'],
    ['not.csv.gz', 'not gzip', 'cannot be read'],
    ['one.csv', csv(TWO_DAYS.slice(0, 1)), 'spans 0.0 days'],
    ['epoch.csv', csv([['5', 'a'], ...TWO_DAYS]), 'days, from 1970-01-01'],
    [
      'ends.csv',
      csv(
        TWO_DAYS.map(([t, k], i) => [t, k, i < 90 ? '1' : '0']),
        'time,key,work',
      ),
      'second half',
    ],
  ])('%s', (name, content, message) => {
    expect(() => traceOf(name, content)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', message: expect.stringContaining(message) }),
    )
    expect(() => traceOf(name, content)).toThrow(name)
  })
})

test('times without a zone are UTC, numbers are seconds, or ms from 1e11 on', () => {
  const at = Date.UTC(2026, 0, 5, 10)
  for (const text of [
    '2026-01-05T10:00:00Z',
    '2026-01-05 10:00:00',
    '2026-01-05T12:00+02:00',
    `${at}`,
    `${at / 1000}`,
  ])
    expect(timeMs(text)).toBe(at)
  expect(timeMs('2026-01-05')).toBe(Date.UTC(2026, 0, 5))
  expect(timeMs('')).toBeNaN()
})

test('cells may be quoted and hold commas and quotes', () => {
  expect(csvCells('a,"b, ""c""",,"d"')).toEqual(['a', 'b, "c"', '', 'd'])
})
