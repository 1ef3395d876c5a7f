import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { parseSubsystems } from '../../jobs/args.ts'
import { DEMO_WORDS, SUBSYSTEMS } from '../../jobs/subsystems.ts'

const ROOT = new URL('../../', import.meta.url)
const folder = mkdtempSync(join(tmpdir(), 'forestall-subsystems-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** A file with the least that a subsystem needs. */
const SMALLEST: Readonly<Record<string, object>> = {
  'traffic-routing': {
    links: [{ name: 'l', capacityBytesPerSecond: 1000, latencyMs: 1 }],
    streams: [{ name: 's', paths: [{ region: 'r', links: ['l'] }] }],
  },
  'data-sharding': {
    services: [{ service: 's', instances: ['a'], replicas: 1, capacity: 1, maxInstances: 1 }],
  },
}

describe.each(SUBSYSTEMS.map((entry) => [entry.name, entry] as const))('%s', (name, entry) => {
  test('is in a folder of its name, and its page exists', () => {
    expect(existsSync(new URL(`pipelines/${name}/index.ts`, ROOT))).toBe(true)
    const [, page] = /\((docs\/[^)]+)\)/.exec(entry.fileHolds) ?? []
    expect(page !== undefined && existsSync(new URL(page, ROOT))).toBe(true)
  })

  test('is made from a file, with the window and the replay that it is told', async () => {
    const file = join(folder, `${name}.json`)
    writeFileSync(file, JSON.stringify(SMALLEST[name]))
    const configured = await entry.configure(file, 7000, 'monday')
    configured.with((subsystem, config) => {
      expect(subsystem.name).toBe(name)
      expect(config).toMatchObject({ windowMs: 7000, replayId: 'monday' })
      // Every part of it has topics of its own to be partitioned by.
      expect(Object.values(subsystem.partitions(config)).every((count) => count > 0)).toBe(true)
    })
  })

  test('refuses a file that is none, with its name', async () => {
    const file = join(folder, 'none.json')
    await expect(entry.configure(file, 1000, '')).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(file) as string,
    })
  })

  test('can be evaluated, and says how', async () => {
    expect((await entry.evaluation()).usage).toContain(`usage: forestall evaluate ${name}`)
  })
})

test('names and options are of one subsystem each', () => {
  for (const field of ['name', 'word', 'fileOption'] as const)
    expect(new Set(SUBSYSTEMS.map((entry) => entry[field])).size).toBe(SUBSYSTEMS.length)
})

test('the demo runs the first of them, and beside it all that have a part in it unless they are left out', () => {
  expect(DEMO_WORDS).toEqual(['traffic', 'data'])
  expect(parseSubsystems(DEMO_WORDS, 'data, traffic')).toEqual(['traffic', 'data'])
  expect(parseSubsystems(DEMO_WORDS, 'traffic')).toEqual(['traffic'])
  for (const wrong of ['data', 'traffic,other', 'traffic,traffic', ''])
    expect(() => parseSubsystems(DEMO_WORDS, wrong)).toThrow('Write traffic or traffic,data.')
})
