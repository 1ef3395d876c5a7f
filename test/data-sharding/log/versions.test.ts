import { expect, test } from 'vitest'
import { takeoverVersion } from '../../../pipelines/data-sharding/log/versions.ts'

const NOW_MS = 1_800_000_000_000
/** States that an applier may have stored or under way. */
const SAVES = 500

test('states of an applier stand against those that the ones before it have under way, whatever was stored', () => {
  const stored = takeoverVersion(1, NOW_MS) + SAVES
  // One that takes over and stores nothing, and one that does so after it.
  const silent = takeoverVersion(stored, NOW_MS + 10)
  const last = takeoverVersion(stored, NOW_MS + 20)
  expect(silent).toBeGreaterThan(stored + SAVES)
  expect(last).toBeGreaterThan(silent + SAVES)
  expect(Number.isSafeInteger(takeoverVersion(last, NOW_MS * 2))).toBe(true)
})

test('a clock that is behind does not make new states older', () => {
  const stored = takeoverVersion(1, NOW_MS) + SAVES
  expect(takeoverVersion(stored, NOW_MS - 60_000)).toBeGreaterThan(stored + SAVES)
})
