import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DEFAULT_TRAFFIC_CONFIG } from '#traffic-routing'
import { readNetworkFile } from '../../jobs/network-file.ts'

const EXAMPLE = 'docs/how-to/network-example.json'
let folder = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'forestall-network-'))
})
afterEach(() => rm(folder, { recursive: true }))

interface NetworkJson {
  links: { name: string; capacityBytesPerSecond: number; latencyMs: number }[]
  streams: { name: string; critical?: boolean; paths: { region: string; links: string[] }[] }[]
  settings?: Record<string, unknown>
}

/** The example with one thing changed, read as a user's file. */
async function readChanged(change: (json: NetworkJson) => void): Promise<unknown> {
  const json = JSON.parse(await readFile(EXAMPLE, 'utf8')) as NetworkJson
  change(json)
  const file = join(folder, 'network.json')
  await writeFile(file, JSON.stringify(json))
  return readNetworkFile(file, 10_000)
}

describe('a network file', () => {
  test('the example of the documentation says what to route over what', async () => {
    const config = await readNetworkFile(EXAMPLE, 10_000)
    const { network } = config
    expect(network.pairNames).toEqual(['paris>web', 'paris>backup'])
    expect(network.pathIds).toEqual(['paris>web#0', 'paris>web#1', 'paris>backup#0', 'paris>backup#1'])
    expect(network.regions).toEqual(['eu-west', 'eu-north', 'eu-north', 'eu-west'])
    expect([...network.latencyMs]).toEqual([7, 20, 20, 7])
    expect([...network.capacity]).toEqual([1.25e9, 1.25e9, 2e9, 1.6e9])
    expect(config).toMatchObject({
      windowMs: 10_000,
      criticalStreams: ['paris>web'],
      streamLimits: { 'paris>backup': 5e8 },
      mode: 'dry_run',
      seasons: [8640, 60_480],
      horizon: DEFAULT_TRAFFIC_CONFIG.horizon,
    })
  })

  test('the page of the documentation shows the example as it is', async () => {
    const page = await readFile('docs/how-to/network-file.md', 'utf8')
    const shown = /```json\n(?<json>[\s\S]*?)```/.exec(page)?.groups?.['json'] ?? ''
    expect(JSON.parse(shown)).toEqual(JSON.parse(await readFile(EXAMPLE, 'utf8')))
  })

  test('every setting that the page names is accepted', async () => {
    const page = await readFile('docs/how-to/network-file.md', 'utf8')
    const named = [...page.matchAll(/^\| `(?<name>\w+)` \|/gm)].map((match) => match.groups?.['name'] ?? '')
    expect(named.length).toBeGreaterThan(10)
    const defaults: Record<string, unknown> = { ...DEFAULT_TRAFFIC_CONFIG }
    for (const name of named) {
      const config = readChanged((json) => (json.settings = { [name]: defaults[name] }))
      await expect(config).resolves.toHaveProperty(name, defaults[name])
    }
  })
})

describe('what is wrong is said with file, field and cure', () => {
  test.each<[string, (json: NetworkJson) => void, string]>([
    [
      'a negative capacity',
      (j) => (j.links[0]!.capacityBytesPerSecond = -1),
      'links.0.capacityBytesPerSecond',
    ],
    ['no paths', (j) => (j.streams[1]!.paths = []), 'streams.1.paths'],
    ['a setting that there is not', (j) => (j.settings = { horizont: 3 }), 'horizont'],
    ['a mode that there is not', (j) => (j.settings = { mode: 'canary' }), 'settings.mode'],
    ['a link that is not in links', (j) => (j.streams[0]!.paths[0]!.links = ['moon']), "'moon'"],
    ['a stream named twice', (j) => (j.streams[1]!.name = 'paris>web'), 'paris>web'],
    ['a link named twice', (j) => (j.links[1]!.name = 'paris-eu-west'), 'paris-eu-west'],
    ['a step beyond the horizon', (j) => (j.settings = { horizon: 3, publishSteps: [4] }), 'publishSteps'],
  ])('%s', async (_what, change, named) => {
    await expect(readChanged(change)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(named) as string,
      cure: expect.stringMatching(/.+/) as string,
    })
  })

  test('a policy that the network cannot keep', async () => {
    const change = (json: NetworkJson) => (json.settings = { shards: { minRegions: 3 } })
    await expect(readChanged(change)).rejects.toMatchObject({
      code: 'POLICY_CONTRADICTS',
      message: expect.stringContaining('minRegions = 3') as string,
    })
  })

  test('no file, and no JSON', async () => {
    await expect(readNetworkFile(join(folder, 'none.json'), 1000)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining('none.json') as string,
    })
    const file = join(folder, 'bad.json')
    await writeFile(file, '{')
    await expect(readNetworkFile(file, 1000)).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  })
})
