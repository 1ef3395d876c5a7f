import { afterAll, beforeAll, expect, test } from 'vitest'
import type { DataAnswer } from '../../infra/web/queries/data.ts'
import { createTableWriter, decisionOf } from '../infra/web/page-data.ts'
import { END_MS, startWithDatabase, stopAll } from '../infra/web/web-stack.ts'
import { failOnLeaks } from '../support/leaks.ts'

failOnLeaks()

const WINDOW_MS = 2000
let stack: Awaited<ReturnType<typeof startWithDatabase>>
beforeAll(async () => {
  stack = await startWithDatabase()
})
afterAll(stopAll)

const ask = async (): Promise<DataAnswer> =>
  (await (await fetch(`${stack.web.url}/api/data`)).json()) as DataAnswer

test('an empty database has no loads, no segments and no moves', async () => {
  expect(await ask()).toEqual({ loads: [], hot: [], moves: [] })
})

test('loads by instance in order of time, the hottest segments with their placement, the newest phase of moves', async () => {
  const write = createTableWriter(stack.warehouse)
  const window = (k: number) => ({
    window_start_ms: END_MS + k * WINDOW_MS,
    window_end_ms: END_MS + (k + 1) * WINDOW_MS,
    incomplete: false,
  })
  const row = (key: string, value: object, timestampMs = END_MS) => ({ key, timestampMs, value })
  const pipeline = (name: string, k: number, load: number) =>
    row(name, {
      ...window(k),
      pipeline_id: name,
      records: 2,
      load_mean: load,
      load_max: load,
      capacity_min: 30,
      up_ratio: 1,
    })
  await write('features_pipelines', 'features.pipelines', [
    pipeline('i1', 1, 8),
    pipeline('i0', 0, 3),
    pipeline('i0', 1, 5),
    pipeline('i1', 0, 7),
  ])
  const service = (k: number, work: number[]) =>
    row('orders', {
      ...window(k),
      service_id: 'orders',
      queries: 10,
      work: 10,
      duration_ms_mean: 1,
      duration_ms_p95: 2,
      failed: 0,
      entities: 3,
      segment_work: work,
    })
  await write('features_services', 'features.services', [service(0, [9, 0, 1, 0]), service(1, [1, 0, 7, 2])])
  const replica = (instance: string, state: string) => ({ instance, state, weight: 0.5 })
  const body = (replicas: object[]) => ({
    service: 'orders',
    segment: 2,
    segments: 4,
    replicas,
    moves: [{ move_id: 'm', kind: 'move', from: 'i1', to: 'i0' }],
    load_q50: 1,
    load_q90: 2,
  })
  await write('decisions', 'decisions.data.shards', [
    row('orders/002', decisionOf('orders/002', 'd1', END_MS, 0.1, body([replica('i1', 'serving')]))),
    row(
      'orders/002',
      decisionOf(
        'orders/002',
        'd2',
        END_MS,
        0.1,
        body([replica('i0', 'warming'), replica('i1', 'draining')]),
      ),
    ),
  ])
  const move = (phase: string) =>
    row('m', {
      service: 'orders',
      segment: 2,
      kind: 'move',
      from: 'i1',
      to: 'i0',
      phase,
      offset: 3,
      rows: 12,
      attempt: 1,
      began_at_ms: END_MS,
      at_ms: END_MS,
      reversible_until_ms: null,
      reason: '',
    })
  await write('moves_data', 'state.data.moves', [move('copying'), move('switched')])

  await expect.poll(async () => (await ask()).hot.length, { timeout: 10_000 }).toBe(3)
  const { loads, hot, moves } = await ask()
  expect(loads).toEqual([
    { instance: 'i0', tMs: [1, 2].map((k) => END_MS + k * WINDOW_MS), load: [3, 5] },
    { instance: 'i1', tMs: [1, 2].map((k) => END_MS + k * WINDOW_MS), load: [7, 8] },
  ])
  expect(hot).toEqual([
    { segment: 2, work: 7, share: 0.7, replicas: ['i0'] },
    { segment: 3, work: 2, share: 0.2, replicas: [] },
    { segment: 0, work: 1, share: 0.1, replicas: [] },
  ])
  expect(moves).toEqual([
    {
      moveId: 'm',
      segment: 2,
      kind: 'move',
      from: 'i1',
      to: 'i0',
      phase: 'switched',
      rows: 12,
      atMs: END_MS,
    },
  ])
  const { decisions } = (await (await fetch(`${stack.web.url}/api/decisions?limit=1`)).json()) as {
    decisions: { change: string }[]
  }
  expect(decisions[0]?.change).toBe('move i1 → i0')
})
