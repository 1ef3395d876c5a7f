import { expect, test } from 'vitest'
import type { WriteLog } from '#core/ports'
import { createRouterMeter } from '../../jobs/router-meter.ts'

const QUERY = { keys: [], operation: 'o', instance: 'a', durationMs: 20, failed: false }
const INSERT = { database: '', table: 't', columns: [], repeatToken: '', acknowledge: 'log' as const }

test('statements are counted by what was done with them', () => {
  const meter = createRouterMeter()
  const plan = meter.planned((plan: { kind: string; isRead?: boolean }) => plan)
  const made = { kind: 'one', isRead: true }
  expect(plan(made)).toBe(made)
  for (const kind of ['insert', 'parts', 'change', 'broadcast', 'refuse', 'refuse']) plan({ kind })
  plan({ kind: 'one', isRead: false })
  expect(meter.counts().planned).toEqual({
    read: 1,
    statement: 1,
    parts: 1,
    insert: 1,
    change: 1,
    broadcast: 1,
    refused: 2,
  })
})

test('answers are counted by outcome and by how long they took', () => {
  const meter = createRouterMeter()
  meter.onQuery(QUERY)
  meter.onQuery({ ...QUERY, durationMs: 90_000, failed: true })
  const { answered, failed, answers } = meter.counts()
  expect([answered, failed, answers.count, answers.sum]).toEqual([1, 1, 2, 90.02])
  // One is above every bound.
  expect([...(answers.counts as Float64Array)].reduce((a, b) => a + b)).toBe(1)
  expect(answers.counts[answers.bounds.indexOf(0.025)]).toBe(1)
})

test('an insert is acknowledged once, or refused once, wherever it fails', async () => {
  let nowMs = 0
  const meter = createRouterMeter(() => nowMs)
  let fails: 'push' | 'finish' | null = null
  const step = async (name: 'push' | 'finish'): Promise<void> => {
    nowMs += 100
    if (fails === name) throw new Error(name)
  }
  const log: WriteLog = {
    open: () => ({
      push: () => step('push'),
      async finish() {
        await step('finish')
        return { positions: new Map([[0, 7]]), bySegment: new Map() }
      },
    }),
    change: async () => [{ instance: 'a', failure: '' }],
  }
  const counted = meter.written(log)
  const insert = async (): Promise<unknown> => {
    const sink = counted.open(INSERT)
    await sink.push(new Uint8Array(0))
    return sink.finish()
  }
  expect(await insert()).toMatchObject({ positions: new Map([[0, 7]]) })
  for (const at of ['push', 'finish'] as const) {
    fails = at
    await expect(insert()).rejects.toThrow(at)
  }
  const sink = counted.open(INSERT)
  fails = 'push'
  await expect(sink.push(new Uint8Array(0))).rejects.toThrow('push')
  fails = 'finish'
  await expect(sink.finish()).rejects.toThrow('finish')
  const { writesAcknowledged, writesRefused, writes } = meter.counts()
  expect([writesAcknowledged, writesRefused, writes.count, writes.sum]).toEqual([1, 3, 1, 0.2])
  expect(await counted.change('ALTER', 'd')).toEqual([{ instance: 'a', failure: '' }])
})
