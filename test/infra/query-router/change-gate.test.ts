import { expect, test } from 'vitest'
import { createChangeGate } from '../../../infra/query-router/change-gate.ts'

test('a change waits for the inserts before it, inserts wait for the changes before them', async () => {
  const gate = createChangeGate()
  const log: string[] = []
  const parsing = Promise.withResolvers<void>()
  const one = gate.insert(async () => {
    log.push('one begins')
    await parsing.promise
    log.push('one ends')
  })
  const first = gate.change(async () => void log.push('change'))
  const second = gate.change(() => Promise.reject(new Error('refused')))
  const two = gate.insert(async () => void log.push('two'))
  await Promise.resolve()
  expect(log).toEqual(['one begins'])
  parsing.resolve()
  await expect(second).rejects.toThrow('refused')
  await Promise.all([one, first, two])
  expect(log).toEqual(['one begins', 'one ends', 'change', 'two'])
})

test('a change does not wait for ever, and holds nobody up once it has given up', async () => {
  const gate = createChangeGate(20)
  const endless = Promise.withResolvers<void>()
  const one = gate.insert(() => endless.promise)
  await expect(gate.change(async () => undefined)).rejects.toThrow('Inserts have been under way for 20 ms')
  expect(await gate.insert(async () => 'two')).toBe('two')
  endless.resolve()
  await one
})
