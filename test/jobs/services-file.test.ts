import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { readServicesFile } from '../../jobs/services-file.ts'

async function written(value: unknown): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'services-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = join(folder, 'services.json')
  await writeFile(file, typeof value === 'string' ? value : JSON.stringify(value))
  return file
}

const SERVICE = { service: 'orders', instances: ['a', 'b'], capacity: 1000, maxInstances: 4 }

test('services with their defaults; a day has the windows that fit into it', async () => {
  const config = await readServicesFile(await written({ services: [SERVICE] }), 900_000)
  expect(config.services).toEqual([
    { ...SERVICE, elastic: false, replicas: 1.1, minInstances: 1, lateShare: 0.003 },
  ])
  expect(config).toMatchObject({ windowMs: 900_000, dayWindows: 96, segments: 256, mode: 'apply' })
  expect((await readServicesFile(await written({ services: [SERVICE] }), 60_000)).dayWindows).toBe(1440)
})

test('settings of the file stand above the defaults', async () => {
  const settings = { segments: 64, mode: 'dry_run', dayWindows: 10 }
  const config = await readServicesFile(await written({ services: [SERVICE], settings }), 900_000)
  expect(config).toMatchObject(settings)
})

test.each([
  ['no JSON', '{', 'JSON'],
  ['no services', {}, 'services'],
  ['a service without a capacity', { services: [{ ...SERVICE, capacity: undefined }] }, 'capacity'],
  ['a field that does not exist', { services: [SERVICE], settings: { segmnets: 3 } }, 'segmnets'],
  ['a name with a slash', { services: [{ ...SERVICE, service: 'a/b' }] }, 'services'],
  ['more replicas than instances', { services: [{ ...SERVICE, replicas: 3 }] }, 'replicas'],
])('%s is refused by name', async (_, value, what) => {
  await expect(readServicesFile(await written(value), 900_000)).rejects.toThrow(what)
})
