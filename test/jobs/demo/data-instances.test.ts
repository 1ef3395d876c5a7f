import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { startDataInstances } from '../../../jobs/demo/data-instances.ts'

test('a machine without the memory says what is needed, and nothing is started', async () => {
  const folder = join(tmpdir(), `no-memory-${process.pid}`)
  const starting = startDataInstances({
    count: 5,
    folder,
    availableBytes: 512 * 2 ** 20,
    onDied: () => undefined,
  })
  await expect(starting).rejects.toMatchObject({
    code: 'SERVICE_MISSING',
    message: '5 ClickHouse instances need 1750 MiB of memory, 512 MiB are free.',
  })
  expect(existsSync(folder)).toBe(false)
})
