import { expect, test, vi } from 'vitest'
import { isOlderThan, temporaryName } from '../../../infra/query-router/temporary-name.ts'

test('a name tells when it was made; other names are never old', () => {
  vi.useFakeTimers({ now: 1_000_000_000_000 })
  const name = temporaryName('p_')
  expect(temporaryName('p_')).not.toBe(name)
  expect(isOlderThan(1000, 'p_', name)).toBe(false)
  vi.setSystemTime(1_000_000_001_001)
  expect(isOlderThan(1000, 'p_', name)).toBe(true)
  for (const other of ['p_', 'p_orders', 'q_abc', `x${name}`, 'p_0123456789abcdef'])
    expect(isOlderThan(1000, 'p_', other)).toBe(false)
  vi.useRealTimers()
})
