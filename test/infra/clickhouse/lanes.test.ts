import { expect, test } from 'vitest'
import { createLane } from '../../../infra/clickhouse/lanes.ts'

const never = new AbortController().signal

test('a lane lets in as many as it has places, the next when one leaves, in order', async () => {
  const lane = createLane('test', 2, 10, 60_000)
  const order: number[] = []
  const enter = (n: number) => lane.enter(never).then(() => order.push(n))
  await enter(1)
  await enter(2)
  const third = enter(3)
  const fourth = enter(4)
  expect(lane.running).toBe(2)
  lane.leave()
  await third
  expect(order).toEqual([1, 2, 3])
  lane.leave()
  await fourth
  expect(lane.running).toBe(2)
  lane.leave()
  lane.leave()
  expect(lane.running).toBe(0)
})

test('a full queue refuses, and so does waiting for too long', async () => {
  const lane = createLane('test', 1, 1, 10)
  await lane.enter(never)
  const waits = lane.enter(never)
  await expect(lane.enter(never)).rejects.toMatchObject({ code: 202 })
  await expect(waits).rejects.toMatchObject({ code: 202 })
  lane.leave()
  await lane.enter(never)
})

test('who gives up loses its place in the queue, not the place of another', async () => {
  const lane = createLane('test', 1, 5, 60_000)
  await lane.enter(never)
  const gone = new AbortController()
  const first = lane.enter(gone.signal)
  const second = lane.enter(never)
  gone.abort(new Error('gone'))
  await expect(first).rejects.toThrow('gone')
  lane.leave()
  await second
  expect(lane.running).toBe(1)
})
