import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { PeerRow } from '../../../jobs/bench/forecast-peer.ts'
import { peerCache, peerKey } from '../../../jobs/bench/forecast-peer-cache.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'forestall-rows-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true, force: true })
})

const done: PeerRow = {
  model: 'MSTL',
  mase: 0.9,
  median: 0.8,
  coverage95: Number.NaN,
  msis: 7,
  secondsPer1000: 400,
  windows: 132,
  failure: '',
  measuredAt: '2026-01-02T03:04:05.000Z',
  isEarlier: false,
}
const late: PeerRow = { ...done, mase: Number.NaN, windows: 0, failure: 'not finished in 60 s' }

describe('rows of other models', () => {
  it('come back as they were, without a number where there was none', () => {
    peerCache(folder).keep('k', 60, done)
    expect(peerCache(folder).find('k', 9000)).toEqual(done)
    expect(peerCache(folder).find('other', 60)).toBeUndefined()
  })

  it('that did not finish stand only for runs that would give no more time', () => {
    const cache = peerCache(folder)
    cache.keep('k', 60, late)
    expect(cache.find('k', 60)).toEqual(late)
    expect(cache.find('k', 61)).toBeUndefined()
  })

  it('that cannot be read are measured again', () => {
    const cache = peerCache(folder)
    cache.keep('k', 60, done)
    writeFileSync(join(folder, readdirSync(folder)[0] as string), '{"limitS":6')
    expect(cache.find('k', 60)).toBeUndefined()
  })

  it('are known by every part of what went in', () => {
    const keys = [peerKey('ab', 'c'), peerKey('a', 'bc'), peerKey('abc'), peerKey('ab', 'd')]
    expect(new Set(keys).size).toBe(keys.length)
    expect(peerKey('ab', 'c')).toBe(keys[0])
  })
})
