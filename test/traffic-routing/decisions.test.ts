import { describe, expect, test } from 'vitest'
import type { RouteDecision, ShardDecision } from '#schemas'
import type { TrafficConfig } from '#traffic-routing'
import { type Chain, createChain, START_MS, tinyConfig, type WindowInput } from './chain.ts'

const CALM: WindowInput = { bytes: { 'a>web': 400, 'b>api': 300 } }
const EAST_ILL: WindowInput = {
  ...CALM,
  regions: { east: { rtt_ms: 160, loss_ratio: 0.2, capacity_bytes_per_second: 200 } },
}

/** Traffic that moves a little, the same in every run. */
const lively = (w: number): WindowInput => ({
  bytes: {
    'a>web': Math.round(500 + 150 * Math.sin(w / 5) + 60 * Math.sin(w * 1.7)),
    'b>api': Math.round(400 + 100 * Math.cos(w / 7) + 40 * Math.sin(w * 2.3)),
  },
})

async function run(chain: Chain, windows: number, input: (w: number) => WindowInput): Promise<void> {
  for (let w = 0; w < windows; w++) await chain.window(input(w))
}

const of = <D extends { entity: string }>(decisions: readonly D[], entity: string): D[] =>
  decisions.filter((d) => d.entity === entity)

const isChange = (d: { issued_at_ms: number; not_before_ms: number }) => d.issued_at_ms === d.not_before_ms

/** Share of a stream's traffic that its last decision up to a window sends to a region. */
function weightAt(routes: readonly RouteDecision[], stream: string, region: string, windows: number): number {
  const last = of(routes, stream).findLast((d) => d.issued_at_ms <= START_MS + windows * 1000)
  return (last?.body.paths ?? []).filter((p) => p.region === region).reduce((sum, p) => sum + p.weight, 0)
}

/** What must hold of the log of decisions about one entity, whoever crashed in between. */
function expectOneLine(decisions: readonly (RouteDecision | ShardDecision)[]): void {
  expect(new Set(decisions.map((d) => d.decision_id)).size).toBe(decisions.length)
  for (const entity of new Set(decisions.map((d) => d.entity))) {
    const own = of(decisions, entity)
    expect(own[0]!.supersedes).toBeNull()
    own.slice(1).forEach((decision, i) => {
      const before = own[i]!
      expect(decision.supersedes).toBe(before.decision_id)
      expect(decision.epoch).toBeGreaterThan(before.epoch)
      expect(decision.issued_at_ms).toBeGreaterThan(before.issued_at_ms)
    })
  }
}

describe('what is decided', () => {
  test('the first window decides shards, which never expire, and routes, which do, for every stream', async () => {
    const chain = await createChain(tinyConfig({ replayId: 'run-7' }))
    await run(chain, 2, () => CALM)
    for (const decisions of [chain.routes(), chain.shards()]) {
      expect(new Set(decisions.map((d) => d.entity))).toEqual(new Set(['a>web', 'b>api']))
      for (const d of decisions) {
        expect(d).toMatchObject({ subsystem: 'traffic-routing', replay_id: 'run-7', mode: 'apply' })
        expect(d.inputs.length).toBeGreaterThan(0)
      }
    }
    for (const d of chain.shards()) expect(d.expires_at_ms).toBeNull()
    for (const d of chain.routes()) {
      expect(d.expires_at_ms).toBe(d.issued_at_ms + 20_000)
      expect(d.body.paths.reduce((sum, p) => sum + p.weight, 0)).toBeCloseTo(1, 6)
      expect(d.body.assignments.length).toBeGreaterThan(1)
      expect(d.body.region_owner).toBe(d.entity === 'a>web' ? 'east' : 'west')
    }
  })

  test('the shards of a stream cover its ring once, and its routes name each of them', async () => {
    const chain = await createChain(tinyConfig())
    await run(chain, 20, lively)
    for (const stream of ['a>web', 'b>api']) {
      const { shards } = of(chain.shards(), stream).at(-1)!.body
      expect(shards.reduce((sum, s) => sum + 2 ** -s.depth, 0)).toBe(1)
      expect(shards.reduce((sum, s) => sum + s.share, 0)).toBeCloseTo(1, 5)
      const { assignments } = of(chain.routes(), stream).at(-1)!.body
      expect(assignments.map((a) => a.shard_id)).toEqual(shards.map((s) => s.shard_id))
    }
  })

  test('a plan that does not change is only renewed, once half of its life is over', async () => {
    const chain = await createChain(tinyConfig())
    await run(chain, 45, () => CALM)
    const routes = of(chain.routes(), 'a>web')
    const renewals = routes.filter((d) => !isChange(d))
    expect(renewals.length).toBeGreaterThanOrEqual(2)
    for (const renewal of renewals) {
      const before = routes[routes.indexOf(renewal) - 1]!
      expect(renewal.body).toEqual(before.body)
      expect(renewal.not_before_ms).toBe(before.not_before_ms)
      expect(renewal.issued_at_ms - before.issued_at_ms).toBe(10_000)
    }
    // Shards are joined as the risk of a young stream falls; calm traffic stays on its path.
    for (const d of routes) expect(d.body.paths).toEqual(routes[0]!.body.paths)
  })

  test('a dry run writes what it would do as a dry run', async () => {
    const chain = await createChain(tinyConfig({ mode: 'dry_run' }))
    await run(chain, 3, () => CALM)
    expect(chain.routes().length).toBeGreaterThan(0)
    for (const d of [...chain.routes(), ...chain.shards()]) expect(d.mode).toBe('dry_run')
  })
})

describe('a region that degrades', () => {
  const FROM = 20
  const TO = 40
  const ill = (w: number) => (w >= FROM && w < TO ? EAST_ILL : CALM)

  test('loses its streams within three windows and gets them back within ten', async () => {
    const chain = await createChain(tinyConfig())
    await run(chain, TO + 15, ill)
    const east = (w: number) => weightAt(chain.routes(), 'a>web', 'east', w)
    expect(east(FROM)).toBeGreaterThan(0.9)
    expect(east(FROM + 3)).toBeLessThan(0.5)
    expect(east(TO)).toBeLessThan(0.5)
    expect(east(TO + 10)).toBeGreaterThan(0.9)
    const moved = of(chain.routes(), 'a>web').find(
      (d) => d.issued_at_ms > START_MS + FROM * 1000 && isChange(d),
    )
    expect(moved!.reason.cost_after).toBeLessThan(moved!.reason.cost_now)
  })

  test('moves no more streams per window than the churn budget allows', async () => {
    const changesPerWindow = 1
    const chain = await createChain(tinyConfig({ changesPerWindow }))
    await run(chain, TO, (w) => (w >= FROM ? { ...EAST_ILL, bytes: lively(w).bytes } : CALM))
    const perWindow = new Map<number, number>()
    for (const d of [...chain.routes(), ...chain.shards()]) {
      if (d.supersedes === null || !isChange(d)) continue
      perWindow.set(d.issued_at_ms, (perWindow.get(d.issued_at_ms) ?? 0) + 1)
    }
    expect(perWindow.size).toBeGreaterThan(0)
    expect(Math.max(...perWindow.values())).toBe(changesPerWindow)
  })
})

describe('a run repeats', () => {
  const bytesOf = (chain: Chain) =>
    Buffer.concat([
      ...chain.routes().map((d) => chain.driver.codec.encode('decisions.traffic.routes', 'RouteDecision', d)),
      ...chain.shards().map((d) => chain.driver.codec.encode('decisions.traffic.shards', 'ShardDecision', d)),
    ])

  test('two runs over the same input give the same bytes; another seed other ids', async () => {
    const runs = await Promise.all(
      [1, 1, 2].map(async (seed) => {
        const chain = await createChain(tinyConfig({ seed }))
        await run(chain, 30, lively)
        return chain
      }),
    )
    expect(bytesOf(runs[0]!).length).toBeGreaterThan(1000)
    expect(bytesOf(runs[0]!).equals(bytesOf(runs[1]!))).toBe(true)
    expect(bytesOf(runs[0]!).equals(bytesOf(runs[2]!))).toBe(false)
  })

  test.each([
    ['before the first snapshot', 12],
    ['after a snapshot', 41],
  ])('a crash %s neither repeats nor contradicts a decision', async (_when, crashAt) => {
    const config: TrafficConfig = tinyConfig()
    const straight = await createChain(config)
    const crashed = await createChain(config)
    for (let w = 0; w < 60; w++) {
      await straight.window(lively(w))
      if (w !== crashAt) await crashed.window(lively(w))
      else {
        await crashed.window(lively(w), { commit: false })
        await crashed.driver.crash()
        await crashed.driver.run()
      }
    }
    for (const decisions of [crashed.routes(), crashed.shards()]) expectOneLine(decisions)
    const upTo = START_MS + crashAt * 1000
    const early = (chain: Chain) => chain.routes().filter((d) => d.issued_at_ms <= upTo)
    expect(early(crashed)).toEqual(early(straight))
    // What the world looked like is restored, so the plans agree in the end.
    for (const stream of ['a>web', 'b>api']) {
      const share = (chain: Chain) =>
        weightAt(chain.routes(), stream, stream === 'a>web' ? 'east' : 'west', 60)
      expect(share(crashed)).toBeCloseTo(share(straight), 1)
    }
  })
})
