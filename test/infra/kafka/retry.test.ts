import { NetworkError, ProtocolError } from '@platformatic/kafka'
import { expect, test } from 'vitest'
import { hasApiError, isTransient, retry } from '../../../infra/kafka/retry.ts'

const refused = new NetworkError('connection refused')
const notCoordinator = new ProtocolError('NOT_COORDINATOR')
const fenced = new ProtocolError('PRODUCER_FENCED')

test('what can pass is told from what cannot', () => {
  expect([refused, notCoordinator].map(isTransient)).toEqual([true, true])
  expect(
    [fenced, new Error('mine'), new NetworkError('closed', { canRetry: false }), 'text'].map(isTransient),
  ).toEqual([false, false, false, false])
  expect(hasApiError(fenced, 'NOT_COORDINATOR', 'PRODUCER_FENCED')).toBe(true)
  expect(hasApiError(refused, 'PRODUCER_FENCED')).toBe(false)
})

test('repeats until it succeeds, and says so each time', async () => {
  const errors: unknown[] = [refused, notCoordinator]
  const heard: unknown[] = []
  const result = await retry(
    async () => {
      const error = errors.shift()
      if (error !== undefined) throw error
      return 'done'
    },
    { forMs: 1000, delayMs: 1, onRetry: (e) => heard.push(e) },
  )
  expect(result).toBe('done')
  expect(heard).toEqual([refused, notCoordinator])
})

test('gives up at once on what cannot pass, and on the first failure after its time or when told to stop', async () => {
  let attempts = 0
  const failing = (error: unknown) => async () => {
    attempts++
    throw error
  }
  await expect(retry(failing(fenced), { forMs: 1000 })).rejects.toBe(fenced)
  await expect(retry(failing(refused), { forMs: -1 })).rejects.toBe(refused)
  expect(attempts).toBe(2)
  await expect(retry(failing(refused), { forMs: 1000, delayMs: 1, stop: () => attempts >= 5 })).rejects.toBe(
    refused,
  )
  expect(attempts).toBe(5)
})
