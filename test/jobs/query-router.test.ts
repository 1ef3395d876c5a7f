import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { queryRouterConfig, readQueryRouterConfig } from '../../jobs/query-router-config.ts'
import { ofService } from '../../jobs/query-router-moves.ts'

test('decisions about other services are another router’s', () => {
  const seen: string[] = []
  let hand: (entity: string) => unknown = () => undefined
  const source = ofService(
    {
      topic: 't',
      start(handler) {
        hand = (entity) =>
          handler.onDecision({ entity, decision: null, partition: 0, offset: 0, timestampMs: 0 })
      },
      stop: async () => undefined,
      lag: () => 0,
    },
    's',
  )
  source.start({
    onDecision: ({ entity }) => void seen.push(entity),
    onCaughtUp: () => undefined,
    onError: () => undefined,
  })
  for (const entity of ['s/001', 's2/001', 'x/s/001', 's/002']) hand(entity)
  expect(seen).toEqual(['s/001', 's/002'])
})

test('settings have defaults, and what cannot be is named', () => {
  const instances = [{ name: 'a', url: 'http://127.0.0.1:8123' }]
  expect(
    queryRouterConfig({ service: 's', instances, tables: [{ table: 't', keyColumn: 'k' }] }),
  ).toMatchObject({
    segments: 256,
    fanOut: 'refuse',
    changes: 'refuse',
    tables: [{ database: 'default', keyType: 'string' }],
  })
  const wrong: [Record<string, unknown>, string][] = [
    [{}, 'tables'],
    [{ tables: [], fanout: 'all' }, 'fanout'],
    [{ tables: [], home: 'z' }, 'no instance z'],
    [{ tables: [], instances: [...instances, ...instances] }, 'same name'],
    [{ tables: [], instances: [{ name: 'a', url: 'ftp://x' }] }, 'url'],
    [{ tables: [], instances: [{ name: 'a', url: 'http://u:secret@x' }] }, 'FORESTALL_ROUTER_PASSWORD'],
  ]
  for (const [fields, words] of wrong) {
    expect(() => queryRouterConfig({ service: 's', instances, ...fields })).toThrow(words)
  }
  const folder = mkdtempSync(join(tmpdir(), 'router-config-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'x.json'), '{')
  expect(() => readQueryRouterConfig(join(folder, 'x.json'))).toThrow('not a JSON file')
})
