import { beforeEach, describe, expect, test } from 'vitest'
import { type ManualClock, type ManualTimers, manualClock, manualTimers, mulberry32 } from '#core/ports'
import { createSinkCounters, type SinkCounters } from '#core/warehouse'
import { createTableLane, type TableLane } from '../../../pipelines/core/warehouse/table-lane.ts'
import { cursorAt, scriptedWarehouse, TABLE } from './fixtures.ts'

const KEY = 'telemetry.readings:3'
let clock: ManualClock
let timers: ManualTimers
let warehouse: ReturnType<typeof scriptedWarehouse>
let counters: SinkCounters
let errors: Error[]
let settled: number
let lane: TableLane

beforeEach(() => {
  clock = manualClock(1_000)
  timers = manualTimers(clock)
  warehouse = scriptedWarehouse()
  counters = createSinkCounters()
  errors = []
  settled = 0
  lane = createTableLane({
    table: TABLE,
    topicPrefix: '',
    warehouse,
    clock,
    timers,
    random: mulberry32(1),
    counters,
    flushRows: 3,
    flushBytes: 1e6,
    flushMs: 100,
    onSettled: () => settled++,
    onError: (error) => errors.push(error),
  })
})

const append = (...offsets: number[]) => {
  for (const offset of offsets) lane.append({ value: offset }, cursorAt(offset), KEY)
  lane.flush(false)
}
const microtasks = () => new Promise((resolve) => setImmediate(resolve))
const insert = (at: number) => {
  const found = warehouse.inserts[at]
  if (found === undefined) throw new Error(`there is no insert ${at}`)
  return found
}

describe('when rows are sent', () => {
  test('by number', () => {
    append(1, 2)
    expect(warehouse.inserts).toHaveLength(0)
    append(3)
    expect(warehouse.inserts).toHaveLength(1)
  })

  test('by age', () => {
    append(1)
    timers.advance(99)
    expect(warehouse.inserts).toHaveLength(0)
    timers.advance(1)
    expect(warehouse.inserts).toHaveLength(1)
  })

  test('one insert at a time; what has grown old meanwhile follows at once', async () => {
    append(1, 2, 3)
    append(4)
    timers.advance(1000)
    expect(warehouse.inserts).toHaveLength(1)
    insert(0).succeed()
    await microtasks()
    expect(warehouse.inserts).toHaveLength(2)
    expect(settled).toBe(1)
  })

  test('a full block goes beside the one under way, a third waits', async () => {
    append(1, 2, 3)
    append(4, 5, 6)
    append(7, 8, 9)
    expect(warehouse.inserts).toHaveLength(2)
    insert(1).succeed()
    await microtasks()
    expect(lane.pendingFrom(KEY)).toBe(1)
    expect(warehouse.inserts).toHaveLength(3)
    insert(0).succeed()
    await microtasks()
    expect(lane.pendingFrom(KEY)).toBe(7)
    insert(2).succeed()
    await microtasks()
    expect(lane.pendingFrom(KEY)).toBeUndefined()
    expect(lane.bytes).toBe(0)
    expect(counters.bufferedBytes).toBe(0)
  })
})

describe('what is durable', () => {
  test('the first row that waits holds the offset back', async () => {
    expect(lane.pendingFrom(KEY)).toBeUndefined()
    append(5, 6, 7)
    append(9)
    expect(lane.pendingFrom(KEY)).toBe(5)
    insert(0).succeed()
    await microtasks()
    expect(lane.pendingFrom(KEY)).toBe(9)
    expect(counters.rows).toEqual({ readings: 3 })
    expect(counters.bufferedBytes).toBe(lane.bytes)
  })

  test('a failed insert is sent again with the same rows and token, ever more slowly', async () => {
    append(1, 2, 3)
    for (let i = 0; i < 12; i++) {
      insert(i).fail(new Error('down'))
      await microtasks()
      timers.advance(10_000)
      await microtasks()
    }
    expect(warehouse.inserts).toHaveLength(13)
    expect(
      new Set(warehouse.inserts.map((i) => `${i.token} ${Buffer.from(i.rows).toString('hex')}`)).size,
    ).toBe(1)
    expect(errors).toHaveLength(12)
    expect(lane.pendingFrom(KEY)).toBe(1)
    insert(12).succeed()
    await microtasks()
    expect(lane.pendingFrom(KEY)).toBeUndefined()
    expect(lane.bytes).toBe(0)
    expect(counters.bufferedBytes).toBe(0)
  })

  test('other rows have another token, the same rows the same', async () => {
    append(1, 2, 3)
    insert(0).succeed()
    await microtasks()
    append(4, 5, 6)
    insert(1).succeed()
    await microtasks()
    append(1, 2, 3)
    expect(insert(1).token).not.toBe(insert(0).token)
    expect(insert(2).token).toBe(insert(0).token)
  })
})

describe('when partitions go to another member', () => {
  test('rows that wait are forgotten, and a failed insert is given up', async () => {
    append(1, 2, 3)
    append(4)
    lane.drop()
    expect(lane.pendingFrom(KEY)).toBeUndefined()
    insert(0).fail(new Error('down'))
    await microtasks()
    timers.advance(60_000)
    await microtasks()
    expect(warehouse.inserts).toHaveLength(1)
    expect(lane.bytes).toBe(0)
    expect(counters.bufferedBytes).toBe(0)
  })

  test('rows of the next assignment do not mix with those under way', async () => {
    append(1, 2, 3)
    lane.drop()
    append(2, 3, 4)
    expect(lane.pendingFrom(KEY)).toBe(2)
    insert(0).succeed()
    await microtasks()
    expect(lane.pendingFrom(KEY)).toBe(2)
    expect(insert(1).rows).not.toEqual(insert(0).rows)
    insert(1).succeed()
    await microtasks()
    expect(lane.pendingFrom(KEY)).toBeUndefined()
  })

  test('a closed lane sends nothing', () => {
    lane.close()
    append(1, 2, 3)
    expect(warehouse.inserts).toHaveLength(0)
  })
})
