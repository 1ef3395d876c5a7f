import { InvalidArgumentError } from 'commander'
import { expect, test } from 'vitest'
import {
  integerBetween,
  parseDuration,
  parseName,
  parseSince,
  parseSpeed,
  replayPrefix,
} from '../../jobs/args.ts'

test.each([
  ['500ms', 500],
  ['60s', 60_000],
  ['5m', 300_000],
  ['1.5h', 5_400_000],
  ['2d', 172_800_000],
])('%s is %i ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test.each(['', '60', 's', '-1s', '0s', '1 s', '1w', '1e3s', 'NaNs'])('"%s" is no duration', (text) => {
  expect(() => parseDuration(text)).toThrow(InvalidArgumentError)
})

test('a speed is a factor above 0, or max', () => {
  expect([parseSpeed('60'), parseSpeed('0.5'), parseSpeed('max')]).toEqual([60, 0.5, Infinity])
  for (const text of ['', ' ', '0', '-1', 'fast', 'Infinity']) {
    expect(() => parseSpeed(text)).toThrow(InvalidArgumentError)
  }
})

test('whole numbers have bounds', () => {
  const port = integerBetween(0, 65_535)
  expect([port('0'), port('65535')]).toEqual([0, 65_535])
  for (const text of ['65536', '-1', '1.5', '', '0x10', '1e3'])
    expect(() => port(text)).toThrow(InvalidArgumentError)
})

test('names fit topics, groups and files', () => {
  expect(parseName('replay-7.a_b')).toBe('replay-7.a_b')
  for (const text of ['', 'a b', 'a/b', '>', 'x'.repeat(101)]) {
    expect(() => parseName(text)).toThrow(InvalidArgumentError)
  }
})

test('since is a time, or how long ago', () => {
  const nowMs = Date.parse('2026-11-21T12:00:00Z')
  expect(parseSince('2h', nowMs)).toBe(Date.parse('2026-11-21T10:00:00Z'))
  expect(parseSince('2026-11-20T00:00:00Z', nowMs)).toBe(Date.parse('2026-11-20T00:00:00Z'))
  for (const text of ['yesterday', '7', '2026-13-01']) {
    expect(() => parseSince(text, nowMs)).toThrow(InvalidArgumentError)
  }
})

test('topics of a replay begin with its name; live ones with nothing', () => {
  expect([replayPrefix('replay-7'), replayPrefix('')]).toEqual(['replay-7.', ''])
})
