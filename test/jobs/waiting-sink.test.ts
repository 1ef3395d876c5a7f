import { expect, test } from 'vitest'
import { ForestallError } from '#core/ports'
import { createWaitingSink } from '../../jobs/waiting-sink.ts'
import { until } from '../support/until.ts'

const away = () => new ForestallError('WAREHOUSE_UNAVAILABLE', 'ClickHouse does not answer')

/** A sink and what happened to it. */
function bench(prepareTables: () => Promise<void>) {
  const log: string[] = []
  const sink = createWaitingSink({
    sink: {
      start: async () => void log.push('start'),
      stop: async () => void log.push('stop'),
    },
    prepareTables,
    againMs: 1,
    onWarning: (error) => log.push(`warning: ${error.message}`),
    onFatal: (error) => log.push(`fatal: ${error.message}`),
  })
  return { sink, log }
}

test('a warehouse that is away delays the sink, and nothing else', async () => {
  let attempts = 0
  const { sink, log } = bench(async () => {
    if (++attempts < 3) throw away()
  })
  await sink.start()
  await until(() => log.includes('start'))
  await sink.stop()
  expect(log).toEqual([
    'warning: ClickHouse does not answer',
    'warning: ClickHouse does not answer',
    'start',
    'stop',
  ])
})

test('what will not pass ends the process', async () => {
  const { sink, log } = bench(async () => {
    throw new ForestallError('WAREHOUSE_REJECTED', 'wrong password')
  })
  await sink.start()
  await until(() => log.length > 0)
  expect(log).toEqual(['fatal: wrong password'])
})

test('stop ends the waiting', async () => {
  const { sink, log } = bench(async () => {
    throw away()
  })
  await sink.start()
  await sink.stop()
  expect(log.at(-1)).toBe('stop')
  expect(log).not.toContain('start')
})
