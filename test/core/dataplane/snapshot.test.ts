import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ForestallError } from '#core/ports'
import { until } from '../../support/until.ts'
import { bench, decision, liveBench, START_MS, testPlane } from './fixtures.ts'

let folder = ''
let snapshotFile = ''
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'follower-'))
  snapshotFile = join(folder, 'state', 'routes.snapshot')
})
afterEach(() => rm(folder, { recursive: true }))

async function runOnce(): Promise<void> {
  const { follower, source } = await liveBench({ snapshotFile })
  await source.put('a', decision('a', 'west', 5))
  await source.put('b', decision('b', 'east', 6, { expires_at_ms: null }))
  await source.put('c', decision('c', 'east', 7, { not_before_ms: START_MS + 5_000 }))
  await source.put('d', decision('d', 'east', 8))
  await source.put('d', null)
  await follower.stop()
}

test('restarts from disk without Kafka: what stands is applied again, what waits goes on waiting', async () => {
  await runOnce()
  expect(await readdir(join(folder, 'state'))).toEqual(['routes.snapshot'])
  const { follower, plane, advance, reports } = bench({ snapshotFile })
  await follower.start()
  expect(Object.fromEntries(plane.inForce)).toEqual({ a: 'west', b: 'east' })
  await advance(5_000)
  expect(plane.inForce.get('c')).toBe('east')
  await advance(60_000)
  expect(Object.fromEntries(plane.inForce)).toEqual({ b: 'east' })
  expect(reports()).toEqual(['applied a 5', 'applied b 6', 'applied c 7', 'expired a 5', 'expired c 7'])
})

test('a preference that ran out while the follower was down is not put into force', async () => {
  await runOnce()
  const { follower, plane, clock, reports } = bench({ snapshotFile })
  clock.advance(60_000)
  await follower.start()
  await follower.settled()
  expect(Object.fromEntries(plane.inForce)).toEqual({ b: 'east' })
  expect(reports()).toContain('expired a 5')
})

test('epochs survive the restart: a stale writer is refused', async () => {
  await runOnce()
  const { follower, source, reports } = bench({ snapshotFile })
  await follower.start()
  await source.caughtUp()
  await source.put('d', decision('d', 'zombie', 7))
  expect(reports()).toContain('rejected d 7')
  await follower.stop()
})

test('a decision that was being put into force when the process was killed is not taken for a repeat', async () => {
  const killed = await liveBench({ snapshotFile })
  await killed.source.put('a', decision('a', 'west', 5))
  await killed.follower.settled()
  const begun = Promise.withResolvers<void>()
  killed.plane.before = (call) => {
    if (call !== 'apply a east') return
    begun.resolve()
    return new Promise(() => undefined)
  }
  await killed.source.put('a', decision('a', 'east', 6))
  await begun.promise
  await until(async () => (await readFile(snapshotFile, 'utf8')).includes('"east"'), { everyMs: 2 })

  const { follower, source, plane, reports } = bench({ snapshotFile })
  await follower.start()
  await source.put('a', decision('a', 'east', 6))
  await source.caughtUp()
  await follower.caughtUp()
  // Not by the way of what stood before it.
  expect(plane.calls).toEqual(['apply a east'])
  expect(reports()).toEqual(['applied a 6'])
  await follower.stop()
})

test('what the topic no longer has does not stand, even if its tombstone is gone', async () => {
  await runOnce()
  const { follower, source, plane } = bench({ snapshotFile })
  await follower.start()
  for (let i = 0; i < 5; i++) await source.put('b', decision('b', 'east', 6))
  await source.caughtUp()
  await follower.caughtUp()
  expect(Object.fromEntries(plane.inForce)).toEqual({ b: 'east' })
  expect(plane.calls.filter((c) => c === 'revert a')).toHaveLength(1)
})

test('a topic that was made anew does not undo what stands', async () => {
  await runOnce()
  const { follower, source, plane, warnings } = bench({ snapshotFile })
  await follower.start()
  await source.caughtUp()
  await follower.caughtUp()
  expect(Object.fromEntries(plane.inForce)).toEqual({ a: 'west', b: 'east' })
  expect(warnings[0]?.message).toContain('made anew')
})

const damages: [string, (text: string) => string][] = [
  ['cut short', (t) => t.slice(0, t.length / 2)],
  ['a flipped letter', (t) => t.replace('"west"', '"wesu"')],
  ['another version', (t) => t.replace('"version":1', '"version":9')],
  ['empty', () => ''],
  ['not JSON', () => 'hello\nworld\n'],
]
test.for(damages)('a damaged snapshot (%s) is named and ignored', async ([, damage]) => {
  await runOnce()
  await writeFile(snapshotFile, damage(await readFile(snapshotFile, 'utf8')))
  const { follower, source, plane, warnings } = bench({ snapshotFile })
  await follower.start()
  expect(warnings).toMatchObject([{ code: 'SNAPSHOT_CORRUPT' }])
  expect(plane.calls).toEqual([])
  await source.put('a', decision('a', 'west', 5))
  await source.caughtUp()
  await follower.stop()
  const again = bench({ snapshotFile })
  await again.follower.start()
  expect(again.warnings).toEqual([])
  expect(again.plane.inForce.get('a')).toBe('west')
})

test('the snapshot of another topic or replay is not used', async () => {
  await runOnce()
  const { follower, warnings, plane } = bench({ snapshotFile, replayId: '2004' })
  await follower.start()
  expect(warnings[0]).toBeInstanceOf(ForestallError)
  expect(plane.calls).toEqual([])
})

test('a disk that cannot be used is a warning, not the end', async () => {
  await writeFile(join(folder, 'state'), 'a file where the folder should be')
  const { follower, source, plane, warnings } = await liveBench({ snapshotFile })
  await source.put('a', decision('a', 'west', 5))
  await follower.settled()
  expect(plane.inForce.get('a')).toBe('west')
  expect(warnings.length).toBeGreaterThan(0)
  expect(follower.health().counters).toMatchObject({ snapshotWrites: 0 })
  expect(follower.health().counters.snapshotFailures).toBeGreaterThan(0)
})

test('a data plane away at the restart gets what stands once it answers', async () => {
  await runOnce()
  const plane = testPlane()
  let isDown = true
  plane.before = () => {
    if (isDown) throw new ForestallError('DATA_PLANE_UNREACHABLE', 'no socket')
  }
  const { follower, advance } = bench({ snapshotFile }, plane)
  await follower.start()
  expect(plane.inForce.size).toBe(0)
  isDown = false
  await advance(250)
  expect(plane.inForce.get('a')).toBe('west')
  expect(follower.health().held).toBeGreaterThan(0)
})
