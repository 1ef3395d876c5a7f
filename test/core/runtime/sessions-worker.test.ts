import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ForestallError } from '../../../pipelines/core/ports/index.ts'
import { decodeNote } from '../../../pipelines/core/runtime/notes.ts'
import { failOnLeaks } from '../../support/leaks.ts'
import { until } from '../../support/until.ts'
import { flow } from './fixtures.ts'
import { flowSessions, plainSessions, sessionLines, type Shape } from './sessions-case.ts'
import { liveThrough, lives } from './worker-lives.ts'
import { createWorld, FEATURES, FLOWS, NOW, type World } from './worker-world.ts'

failOnLeaks()

const SHAPE: Shape = { gapMs: 400, graceMs: 500, maxLengthMs: 2000 }
test('over stops, kills and rebalances at any point, sessions are those computed offline', async () => {
  await fc.assert(
    fc.asyncProperty(lives({ aheadMs: 600, stream: 2 }), async (steps) => {
      const world = await createWorld(flowSessions(SHAPE, 2), { [FLOWS]: 3, [FEATURES]: 2 })
      const flows = await liveThrough(world, steps)
      expect(sessionLines(await world.read(FEATURES, 'StreamFeature'))).toEqual(plainSessions(flows, SHAPE))
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
