import { describe, expect, test } from 'vitest'
import type { DataShardDecision } from '#schemas'
import { fillableTables } from '#core/forecasting'
import { segmentId, segmentOf } from '#data-sharding'
import { createChain, INSTANCES, queryOf, START_MS, tinyConfig } from './chain.ts'

/** Keys whose segments are spread, with the load of window `w`: 'hot' is heavy from window 6 on. */
const load = (w: number): Record<string, number> => {
  const queries: Record<string, number> = {}
  for (let k = 0; k < 24; k++) queries[`k${k}`] = 4
  if (w >= 6) queries['hot'] = 120
  return queries
}

describe('the chain from query logs to placements', () => {
  test('places every segment once, then copies a segment that gets hot, and has it serving a window later', async () => {
    const chain = await createChain(tinyConfig())
    for (let w = 0; w < 12; w++) await chain.window(load(w))
    const all = chain.shards()
    const first = all.slice(0, 32)
    expect(new Set(first.map(({ entity }) => entity)).size).toBe(32)
    expect(first.every(({ body, expires_at_ms }) => body.moves.length === 0 && expires_at_ms === null)).toBe(
      true,
    )

    const hot = segmentId('search', segmentOf('hot', 32))
    const ofHot = all.filter(({ entity }) => entity === hot)
    const copied = ofHot.findIndex(({ body }) => body.moves.some(({ kind }) => kind !== 'drop'))
    expect(copied).toBeGreaterThan(0)
    const begun = ofHot[copied]!
    const move = begun.body.moves[0]!
    expect(begun.body.replicas.find(({ instance }) => instance === move.to)?.state).toBe('warming')
    expect(INSTANCES).toContain(move.from)
    expect(begun.reason.drivers.join()).toContain('max/mean')
    expect(begun.reason.cost_now).toBeGreaterThanOrEqual(begun.reason.cost_after)
    const settled = ofHot[copied + 1]!
    expect(settled.epoch).toBeGreaterThan(begun.epoch)
    expect(settled.supersedes).toBe(begun.decision_id)
    expect(settled.body.replicas.find(({ instance }) => instance === move.to)?.state).toBe('serving')

    const standing = new Map(all.map((d) => [d.entity, d.body]))
    let replicas = 0
    for (const body of standing.values()) {
      expect(body.replicas.filter(({ state }) => state === 'serving').length).toBeGreaterThanOrEqual(1)
      expect(body.replicas.reduce((sum, { weight }) => sum + weight, 0)).toBeCloseTo(1, 9)
      replicas += body.replicas.length
    }
    expect(replicas).toBeLessThanOrEqual(40)
  })

  test('asks for more instances when more work comes than they can do, and says why', async () => {
    const chain = await createChain(tinyConfig())
    for (let w = 0; w < 14; w++) await chain.window(w < 8 ? { k1: 20 } : { k1: 20 + 150 * (w - 7) })
    const scale = chain.scale()
    const most = scale.reduce((a, d) => Math.max(a, d.body.instances), 0)
    expect(most).toBeGreaterThan(scale[0]!.body.instances)
    const last = scale.at(-1)!
    // 4 units of work per second are reported: 240 in a window of a minute.
    expect(last.body.capacity).toBe(240)
    expect(last.body.instances).toBeLessThanOrEqual(8)
    expect(last.reason.drivers[0]).toContain('of work expected')
  })

  test('asks for instances before a campaign that the calendar announces, once it knows what campaigns bring', async () => {
    const event = (n: number, window: number) => ({
      event_id: `sale${n}`,
      revision: 1,
      kind: 'campaign',
      scope: 'search/k1',
      summary: 'sale',
      issued_at_ms: START_MS,
      valid_from_ms: START_MS + window * 60_000,
      valid_to_ms: START_MS + (window + 4) * 60_000,
      severity: 1,
      source: 'test',
      cancelled: false,
      geometry: null,
    })
    const sales = [12, 23, 33, 46, 55]
    const isOn = (w: number) => sales.some((from) => w >= from && w < from + 4)
    const run = async (isAnnounced: boolean) => {
      const tables = fillableTables()
      if (isAnnounced) sales.forEach((window, n) => tables.putEvent(`sale${n}`, event(n, window)))
      const config = tinyConfig({ dayWindows: 7, patienceWindows: 1, leadWindows: 1 })
      const services = config.services.map((service) => ({ ...service, maxInstances: 40 }))
      const chain = await createChain({ ...config, services }, { ...tables, ready: () => Promise.resolve() })
      const asked: number[] = []
      for (let w = 0; w < 60; w++) {
        await chain.window({ k1: isOn(w) ? 480 : 24 })
        asked.push(chain.scale().at(-1)?.body.instances ?? 0)
      }
      return asked
    }
    const [blind, told] = [await run(false), await run(true)]
    // What is asked for at the end of a window is there two windows later; 240 is what an instance does in one.
    expect(told[53]! * 240).toBeGreaterThanOrEqual(480)
    const idle = (asked: number[]) =>
      asked.slice(40).reduce((sum, n, i) => sum + (isOn(i + 41) || isOn(i + 42) ? 0 : n), 0)
    expect(idle(told)).toBeLessThan(0.7 * idle(blind))
  })

  /** Expected work by instance, as the decisions that stand share it out. */
  const sharedOut = (shards: readonly DataShardDecision[]) => {
    const standing = new Map(shards.map((d) => [d.entity, d.body]))
    const work = new Map(INSTANCES.map((instance) => [instance, 0]))
    for (const { replicas, load_q50 } of standing.values())
      for (const { instance, weight } of replicas) work.set(instance, work.get(instance)! + weight * load_q50)
    return { standing, work }
  }

  test('instances of unequal capacity get unequal shares', async () => {
    const reports = { ch1: { capacity: 1 }, ch2: { capacity: 7 } }
    const chain = await createChain(tinyConfig())
    for (let w = 0; w < 16; w++) await chain.window(load(0), { reports })
    const { work } = sharedOut(chain.shards())
    const [weak, strong, ...others] = INSTANCES.map((instance) => work.get(instance)!)
    const usual = (others[0]! + others[1]!) / 2
    expect(weak).toBeLessThan(0.5 * usual)
    expect(strong).toBeGreaterThan(1.3 * usual)
  })

  test('an instance that is reported down loses its segments in the next decisions', async () => {
    const chain = await createChain(tinyConfig())
    for (let w = 0; w < 8; w++) await chain.window(load(0))
    const [down = ''] = INSTANCES
    const before = sharedOut(chain.shards())
    expect(before.work.get(down)).toBeGreaterThan(0)
    const reports = { [down]: { up: false } }
    const known = chain.shards().length
    // Half of the reports of the first window are of the one before.
    for (let w = 0; w < 2; w++) await chain.window(load(0), { reports })
    const stranded = [...sharedOut(chain.shards()).standing.values()].filter(
      ({ replicas }) => !replicas.some(({ instance, state }) => instance !== down && state !== 'draining'),
    )
    expect(stranded).toEqual([])
    // Second replicas follow within the budget of copies.
    for (let w = 0; w < 2; w++) await chain.window(load(0), { reports })
    expect(sharedOut(chain.shards()).work.get(down)).toBe(0)
    const moved = chain
      .shards()
      .slice(known)
      .find(({ body }) => body.moves.some(({ from }) => from === down))!
    expect(moved.reason.cost_now).toBe(INSTANCES.length)
    expect(moved.reason.cost_after).toBeLessThan(2)
  })

  test('gives the same decisions over crashes', async () => {
    const straight = await createChain(tinyConfig())
    const reports = (w: number) => (w === 4 ? { ch2: { up: false }, ch3: { capacity: 2 } } : {})
    for (let w = 0; w < 10; w++) await straight.window(load(w), { reports: reports(w) })
    const broken = await createChain(tinyConfig())
    for (let w = 0; w < 10; w++) {
      await broken.window(load(w), { commit: w % 3 !== 1, reports: reports(w) })
      if (w % 3 === 1) {
        await broken.driver.crash()
        await broken.driver.run()
      }
    }
    expect(broken.shards().map(({ body }) => body)).toEqual(straight.shards().map(({ body }) => body))
    expect(broken.scale().map(({ body }) => body)).toEqual(straight.scale().map(({ body }) => body))
  })

  test('a dry run says what it would do, in its mode', async () => {
    const chain = await createChain(tinyConfig({ mode: 'dry_run' }))
    for (let w = 0; w < 9; w++) await chain.window(load(w))
    expect(chain.shards().length).toBeGreaterThan(32)
    expect(chain.shards().every(({ mode }) => mode === 'dry_run')).toBe(true)
  })
})

describe('features, forecasts and patterns', () => {
  test('work adds up by segment, and a pattern that is not what its fields say is a dead letter', async () => {
    const chain = await createChain(tinyConfig())
    const { driver } = chain
    driver.pipe('logs.queries', 0, 'QueryLog', {
      ...queryOf(),
      pattern: 'search|write|k1',
    })
    await chain.window({ k1: 3, k2: 5 })
    const [row] = driver.output('features.services', 'ServiceFeature')
    expect(row).toMatchObject({ service_id: 'search', queries: 8, work: 8, window_start_ms: START_MS })
    expect(row!.segment_work[segmentOf('k2', 32)]).toBeGreaterThanOrEqual(5)
    expect(row!.segment_work.reduce((a, b) => a + b, 0)).toBe(8)
    const dead = driver.output('dlq.logs.queries', 'DeadLetter')
    expect(dead.map(({ reason_code }) => reason_code)).toEqual(['RECORD_INVALID'])
  })

  test('every segment has quantiles in order, and patterns a probability that follows their rate', async () => {
    const chain = await createChain(tinyConfig())
    for (let w = 0; w < 8; w++) await chain.window(w % 4 === 0 ? { k1: 9, rare: 1 } : { k1: 9 })
    const forecasts = chain.driver.output('forecasts.data', 'Forecast')
    expect(new Set(forecasts.map(({ entity }) => entity)).size).toBe(33)
    for (const f of forecasts) {
      const q = [f.q025, f.q10, f.q50, f.q90, f.q975, f.q99]
      expect(q).toEqual([...q].sort((a, b) => a - b))
    }
    const patterns = chain.driver.output('forecasts.patterns', 'QueryPattern')
    const last = (name: string) => patterns.filter(({ entity_id }) => entity_id === name).at(-1)!
    expect(last('k1').probability).toBeGreaterThan(0.95)
    expect(last('rare').probability).toBeLessThan(last('k1').probability)
    expect(last('k1')).toMatchObject({ service_id: 'search', operation_id: 'read' })
    expect(last('k1').segment_id).toBe(segmentId('search', segmentOf('k1', 32)))
    expect(last('k1').interval_end_ms - last('k1').interval_start_ms).toBe(120_000)
  })

  test('a campaign raises the probability of its key, but not before it was announced', async () => {
    const run = async (issuedAtMs: number) => {
      const tables = fillableTables()
      tables.putEvent('sale', {
        event_id: 'sale',
        revision: 1,
        kind: 'campaign',
        scope: 'search/rare',
        summary: 'sale',
        issued_at_ms: issuedAtMs,
        valid_from_ms: START_MS,
        valid_to_ms: START_MS + 3_600_000,
        severity: 1,
        source: 'test',
        cancelled: false,
        geometry: null,
      })
      const chain = await createChain(tinyConfig(), { ...tables, ready: () => Promise.resolve() })
      for (let w = 0; w < 6; w++) await chain.window(w === 2 ? { k1: 9, rare: 1 } : { k1: 9 })
      const found = chain.driver.output('forecasts.patterns', 'QueryPattern')
      return found.filter(({ entity_id }) => entity_id === 'rare').at(-1)!.probability
    }
    expect(await run(START_MS)).toBeGreaterThan(await run(START_MS + 86_400_000))
  })
})
