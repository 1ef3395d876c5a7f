import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ForestallError } from '../../../pipelines/core/ports/index.ts'
import { decodeNote } from '../../../pipelines/core/runtime/notes.ts'
import { failOnLeaks } from '../../support/leaks.ts'
import { until } from '../../support/until.ts'
import { flow } from './fixtures.ts'
import { flowSessions, plainSessions, sessionLines, type Shape } from './sessions-case.ts'
import {
  createWorld,
  expectWhole,
  FEATURES,
  FLOWS,
  NOW,
  type Process,
  sender,
  type World,
} from './worker-world.ts'

failOnLeaks()

const SHAPE: Shape = { gapMs: 400, graceMs: 500, maxLengthMs: 2000 }
/** A timer that does not tick: the process does only what batches make it do, and is dead once it is killed. */
const UNTIMED = { commitIntervalMs: 3_600_000 }

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      partition: fc.nat(2),
      aheadMs: fc.nat(600),
      stream: fc.nat(2),
      bytes: fc.nat(1000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('turn', 'stop', 'kill', 'other') }) },
)

test('over stops, kills and rebalances at any point, sessions are those computed offline', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const world = await createWorld(flowSessions(SHAPE, 2), { [FLOWS]: 3, [FEATURES]: 2 })
      const input = sender(world)
      let first = await world.launch('a', UNTIMED)
      let second: Process | null = null
      for (const s of steps) {
        if (s.kind === 'send') input.send(s.partition, s.aheadMs, s.stream, s.bytes)
        else if (s.kind === 'turn') await new Promise((resolve) => setImmediate(resolve))
        else if (s.kind === 'other') {
          if (second === null) second = await world.launch('b', UNTIMED)
          else {
            second.kill()
            await world.broker.expire()
            second = null
          }
        } else {
          if (s.kind === 'stop') await first.worker.stop()
          first.kill()
          first = await world.launch('a', UNTIMED)
        }
      }
      // What is open now is committed by timers.
      first.kill()
      second?.kill()
      await world.broker.expire()
      await world.launch('c')
      world.end()
      await world.flushed()
      expect(sessionLines(await world.read(FEATURES, 'StreamFeature'))).toEqual(
        plainSessions(input.flows, SHAPE),
      )
      expectWhole(await world.read('audit.offsets', 'OffsetLedger'), input.flows.length)
      await world.close()
    }),
    { numRuns: 25 },
  )
})

/** Sessions that a worker writes which is restarted once its input has lost its beginning, and once more. */
async function afterLoss(world: World, topic: string): Promise<[number, number, number, boolean][]> {
  for (const at of [100, 210, 350, 1000]) world.send(0, flow(NOW + at, 'a', at))
  let process = await world.launch('a')
  const restart = async () => {
    await process.worker.stop()
    process.kill()
    process = await world.launch('a')
  }
  const settled = () => process.worker.tasks().some((task) => task.watermarkMs === NOW + 500)
  await world.caughtUp()
  if (topic !== FLOWS) await until(settled, { what: 'slices have been merged', everyMs: 2 })
  await process.worker.stop()
  const [committed] = await world.broker.admin().committed('test.sessions', [{ topic, partition: 0 }])
  const { replayFrom = 0 } = decodeNote(committed?.metadata ?? '') ?? {}
  world.broker.trim(topic, 0, replayFrom + 1)
  await restart()
  expect(process.warnings.map((e) => (e as ForestallError).code)).toEqual(['OFFSET_OUT_OF_RANGE'])
  world.send(0, flow(NOW + 1100, 'a', 1100))
  await world.caughtUp()
  await restart()
  world.send(0, flow(NOW + 3000, 'a', 3000))
  world.end()
  await world.flushed()
  const rows = await world.read(FEATURES, 'StreamFeature')
  await world.close()
  return rows.map((r) => [r.window_start_ms - NOW, r.window_end_ms - NOW, r.bytes, r.incomplete])
}

test.each([
  ['where partitions follow the key', 0, FLOWS],
  ['merged', 1, 'internal.slices'],
])(
  'sessions whose records retention has removed are incomplete, also after a further restart: %s',
  async (_name, merge, topic) => {
    const world = await createWorld(flowSessions(SHAPE, merge))
    expect(await afterLoss(world, topic)).toEqual([
      [210, 350, 560, true],
      // Of what the source had not sent yet, the merge has lost nothing.
      [1000, 1100, 2100, merge === 0],
      [3000, 3000, 3000, false],
    ])
  },
)
