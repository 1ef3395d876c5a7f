import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { DataShardBody } from '#schemas'
import type { Decision } from '#core/ports'
import { queryRouterConfig, readQueryRouterConfig } from '../../jobs/query-router-config.ts'
import { ofService, placementApplier } from '../../jobs/query-router-placement.ts'
import { type Applier, createPlacementTable, replicaOrder } from '../../pipelines/data-sharding/dataplane.ts'

const NAMES = ['a', 'b', 'c']
const holding = (...segments: number[]) => ({ segments: () => segments }) as unknown as Applier

function decision(
  segment: number,
  replicas: [instance: string, state: 'serving' | 'warming' | 'draining', weight: number][],
): Decision<DataShardBody> {
  const body = {
    service: 's',
    segment,
    segments: 8,
    replicas: replicas.map(([instance, state, weight]) => ({ instance, state, weight })),
    moves: [],
    load_q50: 1,
    load_q90: 2,
  }
  return { entity: `s/00${segment}`, body } as unknown as Decision<DataShardBody>
}
const context = { previous: null, restoring: false }

test('reads go to the replicas that serve and hold a segment', async () => {
  const placement = createPlacementTable(8, NAMES)
  const applier = placementApplier(placement, NAMES, [holding(1, 2), holding(2), holding()], 1)
  const serving = decision(2, [
    ['a', 'serving', 0.7],
    ['b', 'draining', 0.3],
    ['c', 'serving', 0],
  ])
  expect(await applier.apply(serving, context)).toEqual({ readable: 'a,b' })
  expect(placement.readable(2)).toEqual([0, 1])
  expect(placement.weights(2)).toEqual([0.7, 0.3])
  await applier.apply(
    decision(2, [
      ['a', 'warming', 0],
      ['b', 'serving', 1],
    ]),
    context,
  )
  expect(placement.readable(2)).toEqual([1])
  // Nobody may be sent where the rows are not.
  await expect(applier.apply(decision(1, [['c', 'serving', 1]]), context)).rejects.toMatchObject({
    code: 'DATA_PLANE_REFUSED',
  })
})

test('a decision that is withdrawn goes back to the static placement, as far as the rows still lie there', async () => {
  const [usual = 0] = replicaOrder(8, 3, 1)[2] ?? []
  const placement = createPlacementTable(8, NAMES)
  const other = (usual + 1) % 3
  const all = NAMES.map((_, i) => (i === usual || i === other ? holding(2) : holding()))
  const applier = placementApplier(placement, NAMES, all, 1)
  await applier.apply(decision(2, [[NAMES[other] ?? '', 'serving', 1]]), context)
  expect(placement.readable(2)).toEqual([other])
  await applier.revert('s/002')
  expect(placement.readable(2)).toEqual([usual])
})

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
  ]
  for (const [fields, words] of wrong) {
    expect(() => queryRouterConfig({ service: 's', instances, ...fields })).toThrow(words)
  }
  const folder = mkdtempSync(join(tmpdir(), 'router-config-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'x.json'), '{')
  expect(() => readQueryRouterConfig(join(folder, 'x.json'))).toThrow('not a JSON file')
})
