import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { ForestallError } from '#core/ports'
import { readQueryRouterConfig } from '../../jobs/query-router-config.ts'
import { fencedStore, unstarted } from '../../jobs/query-router-fence.ts'
import type { RouterInstance } from '../../jobs/query-router-instances.ts'
import { reloadOnHangUp } from '../../jobs/query-router-reload.ts'

type Named = { name: string; url: string }

/** A file of settings and a router that knows its instances; `b` holds segments. */
function world() {
  const folder = mkdtempSync(join(tmpdir(), 'router-reload-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'router.json')
  const write = (instances: Named[], more: object = {}): void =>
    writeFileSync(
      file,
      JSON.stringify({ service: 's', instances, tables: [{ table: 't', keyColumn: 'k' }], ...more }),
    )
  const present: Named[] = [at('a'), at('b')]
  write(present)
  const said: string[] = []
  const router = {
    instances: () => [...present] as unknown as RouterInstance[],
    add: async (instance: Named) => void present.push(instance),
    async remove(name: string) {
      if (name === 'b') throw new ForestallError('REQUEST_INVALID', 'Instance b holds 3 segments.')
      present.splice(
        present.findIndex((it) => it.name === name),
        1,
      )
    },
  }
  const reload = reloadOnHangUp(file, readQueryRouterConfig(file), router, (line) => said.push(line))
  /** Sends the signal; resolves once the file has been read and acted upon. */
  async function hangUp(): Promise<void> {
    process.emit('SIGHUP')
    await reload.stop()
  }
  return { file, write, said, hangUp, names: () => present.map(({ name }) => name) }
}

const at = (name: string, port = 8123): Named => ({ name, url: `http://${name}:${port}` })

test('at a SIGHUP new instances are taken in and missing ones out, unless they hold something', async () => {
  const { write, said, hangUp, names } = world()
  write([at('c')])
  await hangUp()
  expect(names()).toEqual(['b', 'c'])
  expect(said).toEqual([
    'instance c is in',
    'instance a is out',
    'warning: REQUEST_INVALID: Instance b holds 3 segments.',
  ])
})

test('what needs a restart is said, and a file that is wrong changes nothing', async () => {
  const first = world()
  first.write([at('a', 9000), at('b')], { fanOut: 'all' })
  await first.hangUp()
  expect(first.names()).toEqual(['a', 'b'])
  expect(first.said).toEqual([
    'warning: what has changed beside the instances needs a restart',
    'warning: instance a has another address: give it another name, or restart',
  ])
  const second = world()
  writeFileSync(second.file, '{')
  await second.hangUp()
  expect(second.names()).toEqual(['a', 'b'])
  expect(second.said.join()).toContain('CONFIG_INVALID')
})

test('nothing is written to an instance when it is another router’s turn', async () => {
  const calls: string[] = []
  let isOurs = true
  const done = (name: string) => async () => void calls.push(name)
  const state = { partition: 0, version: 7, next: 3, segments: [1], joining: [], hasRestarted: false }
  const store = fencedStore(
    {
      insert: done('insert'),
      loadApplied: async () => [state],
      saveApplied: done('save'),
      statementOutcome: async () => null,
      runStatement: async () => '',
      close: () => undefined,
    },
    () => isOurs,
  )
  const target = { database: 'd', table: 't', columns: ['k'] }
  await store.insert(target, new Uint8Array(), 'token')
  expect(await store.loadApplied('log')).toEqual([state])
  isOurs = false
  const refused = { code: 'DATA_PLANE_UNREACHABLE', message: expect.stringContaining('Another router') }
  await expect(store.insert(target, new Uint8Array(), 'token')).rejects.toMatchObject(refused)
  await expect(store.saveApplied('log', state)).rejects.toMatchObject(refused)
  await expect(store.runStatement('log', 'id', 'd', 'DROP')).rejects.toMatchObject(refused)
  expect(calls).toEqual(['insert'])
  // Nor before an applier has started: a move would take it for done.
  await expect(unstarted('a').hold(1, 0)).rejects.toMatchObject({ code: 'DATA_PLANE_UNREACHABLE' })
})
