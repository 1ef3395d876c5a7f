import { once } from 'node:events'
import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { portError } from '../../jobs/port-error.ts'
import { runFollow } from '../../jobs/follow.ts'

test('a port that is taken is a matter of the option that chose it; other errors stay what they are', async () => {
  const first = createServer().listen(0, '127.0.0.1')
  await once(first, 'listening')
  const { port } = first.address() as { port: number }
  const second = createServer().listen(port, '127.0.0.1')
  const [error] = (await once(second, 'error')) as [Error]
  expect(portError(error, 'metrics', '127.0.0.1', port)).toMatchObject({
    code: 'CONFIG_INVALID',
    message: expect.stringContaining(`--metrics ${port}`),
    cure: expect.stringContaining('--metrics'),
  })
  first.close()
  const other = new Error('something else')
  expect(portError(other, 'metrics', '127.0.0.1', port)).toBe(other)
})

test('a topic without decisions is refused before anything is connected', async () => {
  const args = {
    json: false,
    verbose: false,
    target: 'print',
    topic: 'telemetry.flows',
    replayId: '',
    forMs: 1,
    metricsPort: null,
    metricsHost: '127.0.0.1',
    dataDir: '/nowhere',
  } as const
  await expect(runFollow(args)).rejects.toMatchObject({
    code: 'CONFIG_INVALID',
    cure: expect.stringContaining('decisions.data.shards'),
  })
})
