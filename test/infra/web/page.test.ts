import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'

interface Format {
  readonly rate: (bytesPerSecond: number | null) => string
  readonly percent: (share: number | null) => string
  readonly duration: (ms: number | null) => string
  readonly count: (value: number) => string
}
const page = new URL('../../../infra/web/page/', import.meta.url)
const { rate, percent, duration, count } = (await import(new URL('format.js', page).href)) as Format

describe('figures', () => {
  test.each([
    [0, '0 B/s'],
    [999.4, '999 B/s'],
    [999.6, '1.00 kB/s'],
    [12_345, '12.3 kB/s'],
    [999_499_999, '999 MB/s'],
    [1.5e15, '1500 TB/s'],
    [null, '–'],
  ])('%s bytes per second read %s', (value, text) => expect(rate(value)).toBe(text))

  test.each([
    [0, '0 %'],
    [0.0001, '<1 %'],
    [0.5, '50 %'],
    [0.9999, '>99 %'],
    [1, '100 %'],
  ])('a share of %s reads %s', (value, text) => expect(percent(value)).toBe(text))

  test.each([
    [412, '412 ms'],
    [1380, '1.4 s'],
    [60_000, '60 s'],
    [1_800_000, '30 min'],
    [null, '–'],
  ])('%s ms read %s', (value, text) => expect(duration(value)).toBe(text))

  test('thousands are set apart', () => expect(count(1_284_331)).toBe('1\u202f284\u202f331'))
})

test('the page asks nothing of other hosts and holds no inline script or style', () => {
  const html = readFileSync(new URL('index.html', page), 'utf8')
  expect(html).not.toMatch(/https?:\/\/|<style|\sstyle=|\son[a-z]+=|<script(?![^>]*src=)/)
})
