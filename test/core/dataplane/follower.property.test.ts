import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ForestallError } from '#core/ports'
import { bench, decision, START_MS } from './fixtures.ts'

type Event =
  | { kind: 'put'; entity: string; epoch: number; lifeMs: number; delayMs: number }
  | { kind: 'tombstone'; entity: string }
  | { kind: 'advance'; ms: number }
  | { kind: 'outage'; isDown: boolean }
  | { kind: 'caughtUp' }

const entity = fc.constantFrom('a', 'b')
const events: fc.Arbitrary<Event[]> = fc.array(
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('put' as const),
        entity,
        epoch: fc.integer({ min: 1, max: 30 }),
        lifeMs: fc.integer({ min: 1_000, max: 90_000 }),
        delayMs: fc.constantFrom(0, 0, 5_000),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('tombstone' as const), entity }) },
    {
      weight: 3,
      arbitrary: fc.record({
        kind: fc.constant('advance' as const),
        ms: fc.integer({ min: 1, max: 40_000 }),
      }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('outage' as const), isDown: fc.boolean() }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('caughtUp' as const) }) },
  ),
  { maxLength: 40 },
)

interface Expected {
  epoch: number
  /** Null: the default. */
  region: string | null
  expiresAtMs: number
}

test('whatever comes in whatever order, the newest decision that may stand is in force, and only until it expires', async () => {
  await fc.assert(
    fc.asyncProperty(events, async (script) => {
      const { follower, source, plane, clock, advance } = bench()
      const expected = new Map<string, Expected>()
      let isDown = false
      plane.before = () => {
        if (isDown) throw new ForestallError('DATA_PLANE_UNREACHABLE', 'down')
      }
      await follower.start()
      for (const event of script) {
        if (event.kind === 'put') {
          const held = expected.get(event.entity)
          const { epoch } = event
          const nowMs = clock.nowMs()
          const expiresAtMs = nowMs + event.lifeMs
          const notBeforeMs = nowMs + event.delayMs
          const next = decision(event.entity, `r${epoch}`, epoch, {
            not_before_ms: notBeforeMs,
            expires_at_ms: expiresAtMs,
          })
          if (epoch > (held?.epoch ?? 0)) {
            expected.set(event.entity, { epoch, region: `r${epoch}`, expiresAtMs })
          }
          await source.put(event.entity, next)
        } else if (event.kind === 'tombstone') {
          const epoch = expected.get(event.entity)?.epoch ?? 0
          expected.set(event.entity, { epoch, region: null, expiresAtMs: Infinity })
          await source.put(event.entity, null)
        } else if (event.kind === 'advance') {
          for (let leftMs = event.ms; leftMs > 0; leftMs -= 1_000) await advance(Math.min(leftMs, 1_000))
        } else if (event.kind === 'outage') ({ isDown } = event)
        else await source.caughtUp()
      }
      isDown = false
      await source.caughtUp()
      // Long enough for the waits and the last retry; short steps, since calls end between them.
      for (let i = 0; i < 40; i++) await advance(500)
      for (const [name, { region, expiresAtMs }] of expected) {
        const stands = region !== null && clock.nowMs() < expiresAtMs
        expect(plane.inForce.get(name) ?? null).toBe(stands ? region : null)
      }
      expect(plane.mostAtOnce()).toBeLessThanOrEqual(1)
      expect(clock.nowMs()).toBeGreaterThan(START_MS)
      await follower.stop()
    }),
    { numRuns: 1000 },
  )
})
