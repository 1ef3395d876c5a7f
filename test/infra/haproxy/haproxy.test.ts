import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { RouteBody, RouteDecision } from '#schemas'
import type { Decision } from '#core/ports'
import {
  createHaproxyApplier,
  createHaproxyClient,
  type HaproxyApplierOptions,
  startHaproxy,
} from '#infra/haproxy'
import { failOnLeaks } from '../../support/leaks.ts'
import { until } from '../../support/until.ts'
import { type HaproxyBench, haproxyMissing, startBench } from './bench.ts'

failOnLeaks()

const missing = haproxyMissing()

function route(stream: string, shares: Record<string, number>, epoch = 1): Decision<RouteBody> {
  const decision: RouteDecision = {
    decision_id: `d${epoch}`,
    subsystem: 'traffic-routing',
    entity: stream,
    epoch,
    issued_at_ms: 0,
    not_before_ms: 0,
    expires_at_ms: null,
    mode: 'apply',
    canary_share: 1,
    replay_id: '',
    reason: { risk: 0.5, drivers: [], q10: 1, q50: 2, q90: 3, cost_now: 2, cost_after: 1 },
    inputs: [],
    model_version: 'm',
    policy_version: 'p',
    supersedes: null,
    body: {
      stream,
      paths: Object.entries(shares).map(([region, weight]) => ({ path_id: region, region, weight })),
      assignments: [],
      region_owner: '',
    },
  }
  return decision
}
const context = { previous: null, restoring: false }

describe.skipIf(missing !== '')(`HAProxy ${missing}`, () => {
  let bench: HaproxyBench
  beforeAll(async () => {
    bench = await startBench(['west', 'east', 'south'], { west: 100, east: 100 })
  })
  afterAll(() => bench.close())

  function applier(over: Partial<HaproxyApplierOptions> = {}) {
    const made = createHaproxyApplier({
      socketPath: bench.haproxy.socketPath,
      backendOf: (stream) => (stream === 'foreign' ? null : 'be'),
      serverOf: (region) => region,
      pollMs: 20,
      ...over,
    })
    onTestFinished(async () => {
      for (const stream of ['a', 'b']) await made.revert(stream)
      await made.stop()
    })
    return made
  }
  const weights = async () =>
    Object.fromEntries(
      (await bench.haproxy.client.showServersState('be')).map((s) => [
        s.server,
        s.isDraining ? 'drain' : s.weight,
      ]),
    )

  test('requests follow the weights within 3 %', async () => {
    const { apply } = applier()
    for (const share of [0.7, 0.25, 0.9]) {
      const observed = await apply(route('a', { west: share, east: 1 - share }), context)
      expect(observed['weight:west']).toBe(String(Math.round(share * 256)))
      const seen = await bench.requests(1000)
      expect(Math.abs((seen.get('west') ?? 0) / 1000 - share)).toBeLessThan(0.03)
    }
  })

  test('a server without a share gets none of the next 400 requests, and what it has under way completes', async () => {
    const { apply } = applier()
    const held = await bench.hold()
    const other = held.region === 'west' ? 'east' : 'west'
    const observed = await apply(route('a', { [other]: 1 }), context)
    expect(observed[`weight:${held.region}`]).toBe('drain')
    expect(Object.fromEntries(await bench.requests(400))).toEqual({ [other]: 400 })
    held.release()
    expect(await held.answer).toBe(held.region)
  })

  test('applying the same again sends no command; the preview sends none either', async () => {
    const { apply, preview } = applier()
    const decision = route('a', { west: 0.75, east: 0.25 })
    const said = await preview?.(decision)
    expect(said).toMatchObject({ would: 'weight west 192, weight east 64', weights: 'west=192 east=64' })
    expect(await weights()).toEqual({ west: 100, east: 100 })
    expect((await apply(decision, context))['commands']).toBe('2')
    expect((await apply(decision, context))['commands']).toBe('0')
  })

  test('a region without a server gets one, which goes again with the decision', async () => {
    const { apply, revert } = applier({ addressOf: bench.addressOf })
    await apply(route('a', { south: 0.5, west: 0.5 }), context)
    const seen = await bench.requests(400)
    expect(Math.abs((seen.get('south') ?? 0) - 200)).toBeLessThan(20)
    expect(seen.get('east')).toBeUndefined()
    await revert('a')
    expect(await weights()).toEqual({ west: 100, east: 100 })
  })

  test('streams that share a backend get the mean; the default comes back when the last one goes', async () => {
    const { apply, revert } = applier()
    await apply(route('a', { west: 1 }), context)
    await apply(route('b', { west: 0.5, east: 0.5 }), context)
    expect(await weights()).toEqual({ west: 192, east: 64 })
    await revert('a')
    expect(await weights()).toEqual({ west: 128, east: 128 })
    await revert('b')
    expect(await weights()).toEqual({ west: 100, east: 100 })
  })

  test('what cannot be is refused before anything is changed', async () => {
    const { apply } = applier()
    const refused = { code: 'DATA_PLANE_REFUSED' }
    await expect(apply(route('a', { nowhere: 0.5, west: 0.5 }), context)).rejects.toMatchObject(refused)
    await expect(apply(route('foreign', { west: 1 }), context)).rejects.toMatchObject(refused)
    expect(await weights()).toEqual({ west: 100, east: 100 })
  })

  test('after a reload everything held is applied again', async () => {
    const { apply, start, health } = applier({ addressOf: bench.addressOf })
    start()
    await apply(route('a', { west: 0.75, south: 0.25 }), context)
    await bench.haproxy.reload()
    await until(() => health().reapplied > 0, { what: 'applied again' })
    expect(await weights()).toEqual({ west: 192, east: 'drain', south: 64 })
    expect((await bench.requests(200)).get('east')).toBeUndefined()
  })

  test('after kill -9 and a restart everything held is applied again', async () => {
    const { apply, start, health } = applier()
    start()
    await apply(route('a', { west: 0.25, east: 0.75 }), context)
    await bench.haproxy.kill9()
    await until(() => !health().reachable, { what: 'noticed' })
    await expect(apply(route('a', { west: 1 }), context)).rejects.toMatchObject({
      code: 'DATA_PLANE_UNREACHABLE',
    })
    await bench.haproxy.restart()
    await until(() => health().reapplied > 0, { what: 'applied again' })
    expect(await weights()).toEqual({ west: 64, east: 192 })
  })

  test("commands that HAProxy does not obey come back with HAProxy's words", async () => {
    const { client } = bench.haproxy
    await expect(client.setWeight('be', 'west', 300)).rejects.toThrow(/between 0 and 256/)
    await expect(client.setWeight('be', 'nobody', 1)).rejects.toThrow(/No such server/)
    await expect(client.setWeight('be; shutdown sessions server be', 'west', 1)).rejects.toMatchObject({
      code: 'DATA_PLANE_REFUSED',
    })
    await expect(client.showServersState('nobody')).rejects.toThrow(/find backend/)
    await expect(client.setMap('none.map', 'a', 'b')).rejects.toThrow(/Unknown map/)
    await expect(client.addMap('none.map', 'a', 'b\nshutdown')).rejects.toMatchObject({
      code: 'DATA_PLANE_REFUSED',
    })
    const rows = await client.showStat()
    expect(rows.find((r) => r.proxy === 'be' && r.name === 'west')?.status).toMatch(/UP|no check/)
  })
})

test('a socket that is not there is unreachable, a program that is not there is missing', async () => {
  const client = createHaproxyClient({ socketPath: '/nonexistent/haproxy.sock' })
  await expect(client.showInfo()).rejects.toMatchObject({ code: 'DATA_PLANE_UNREACHABLE' })
  const config = { dataDir: '/nonexistent', frontends: [], backends: [], binary: '/nonexistent/haproxy' }
  await expect(startHaproxy(config)).rejects.toMatchObject({ code: 'SERVICE_MISSING' })
})
