import { nearestRank, sorted } from '#core/evaluation'
import { mulberry32, type Random } from '#core/ports'
import { createInlineSolver, createWorkerSolver } from '#infra/solver'
import { createNetwork, type Network, shortestSplits } from '../../pipelines/traffic-routing/network.ts'
import { createRouter, type Router, ROUTER_SETTINGS } from '../../pipelines/traffic-routing/router.ts'
import { costGoal } from '../../pipelines/traffic-routing/router-goal.ts'
import {
  createPlacer,
  DEFAULT_SHARD_POLICIES,
  type ShardColumns,
  shardColumns,
  sizeAllShards,
} from '../../pipelines/traffic-routing/shards/index.ts'
import { shareTree } from './route-shares.ts'

/** Regions of the optimiser case. */
export const REGIONS = 25
const STEPS = 200
const HISTORY = 60
const SCENARIOS = 12
/** What the solver may take of the 100 ms; then the better of greedy and standing plan is taken. */
const DEADLINE_MS = 40

/** Times of a route step, ms (p99, nearest rank, the first step included), and what the plans were. */
export interface OptimiserTimes {
  readonly plan: number
  readonly place: number
  readonly step: number
  readonly first: number
  readonly steps: number
  readonly shards: number
  /** Plans by what they rest on. */
  readonly candidates: Readonly<Record<string, number>>
}

/** 25 regions, a link between every two; a stream per ordered pair may go direct or through the three best third regions. */
function regionNetwork(): Network {
  const random = mulberry32(25)
  const at = Array.from({ length: REGIONS }, () => [random.uniform(), random.uniform()] as const)
  const distanceMs = (a: number, b: number) =>
    5 + 100 * Math.hypot(at[a]![0] - at[b]![0], at[a]![1] - at[b]![1])
  const ordered = Array.from(
    { length: REGIONS * REGIONS },
    (_, i) => [Math.floor(i / REGIONS), i % REGIONS] as const,
  )
  const linkOf = new Map<string, number>()
  const links = ordered
    .filter(([a, b]) => a !== b)
    .map(([a, b], i) => {
      linkOf.set(`${a}>${b}`, i)
      return { name: `${a}>${b}`, capacity: 1000 * (0.5 + random.uniform()), latencyMs: distanceMs(a, b) }
    })
  const link = (a: number, b: number) => linkOf.get(`${a}>${b}`)!
  const pairs = ordered
    .filter(([a, b]) => a !== b)
    .map(([a, b]) => {
      const thirds = Array.from({ length: REGIONS }, (_, c) => c).filter((c) => c !== a && c !== b)
      thirds.sort((x, y) => distanceMs(a, x) + distanceMs(x, b) - distanceMs(a, y) - distanceMs(y, b))
      const detours = thirds.slice(0, 3).map((c) => ({ links: [link(a, c), link(c, b)], region: `r${c}` }))
      return { name: `${a}>${b}`, paths: [{ links: [link(a, b)], region: `r${b}` }, ...detours] }
    })
  return createNetwork(links, pairs)
}

/** Demands of the made-up network: a log-uniform level per stream, and noise around it. */
function demands(network: Network, random: Random): { base: Float64Array; draw: () => Float64Array } {
  const base = Float64Array.from({ length: network.pairs }, () => 200 * Math.exp(random.uniform() * 3 - 1.5))
  return { base, draw: () => base.map((d) => d * Math.exp(0.6 * (random.uniform() - 0.5))) }
}

function cutShards(network: Network, base: Float64Array, random: Random): ShardColumns {
  const total = base.reduce((sum, d) => sum + d, 0)
  const inputs = network.pairNames.map((stream, k) => ({
    stream,
    shareByPrefix: shareTree(random),
    streamBytesShare: base[k]! / total,
    risk: random.uniform(),
    policies: { ...DEFAULT_SHARD_POLICIES, cap: 0.0003, critical: k % 10 === 0 },
  }))
  return shardColumns(sizeAllShards(inputs, 10_000))
}

/** Joint draws of a good forecast of `demand`. */
const forecastOf = (demand: Float64Array, random: Random): Float64Array[] =>
  Array.from({ length: SCENARIOS }, () => demand.map((d) => d * Math.exp(0.1 * (random.uniform() - 0.5))))

/** A router that has learnt from a short past in which forecasts paid: it then solves for scenarios at every step. */
async function learntRouter(network: Network, draw: () => Float64Array, random: Random): Promise<Router> {
  const settings = {
    ...ROUTER_SETTINGS,
    backtestRows: 3,
    fixed: { ...ROUTER_SETTINGS.fixed, perBag: 20, bags: 1 },
  }
  const router = createRouter(network, costGoal(network, 10), await createInlineSolver(), settings)
  const history = Array.from({ length: HISTORY }, draw)
  const backtest = (row: number) => forecastOf(history[row]!, random)
  router.learn({ history, lag: 1, backtest, backtestFrom: HISTORY - 4 })
  return router
}

/** Times route steps at 25 regions: the plan of the router under its deadline, and the placement of all shards. */
export async function timeOptimiser(): Promise<OptimiserTimes> {
  const random = mulberry32(26)
  const network = regionNetwork()
  const { base, draw } = demands(network, random)
  const shards = cutShards(network, base, random)
  const router = await learntRouter(network, draw, random)
  const remote = await createWorkerSolver()
  const placer = createPlacer(network)
  const times = { plan: [] as number[], place: [] as number[], step: [] as number[] }
  const candidates: Record<string, number> = {}
  let standing = shortestSplits(network)
  let path: Int32Array | undefined
  for (let step = 0; step < STEPS; step++) {
    const demand = draw()
    const request = { target: HISTORY + step, scenarios: forecastOf(demand, random), standing }
    const began = performance.now()
    const plan = await router.planRemotely(remote, request, DEADLINE_MS)
    const planned = performance.now()
    const goal = { shards, targets: plan.splits, demand }
    path = placer.place(path === undefined ? goal : { ...goal, standing: path }).path
    const ended = performance.now()
    times.plan.push(planned - began)
    times.place.push(ended - planned)
    times.step.push(ended - began)
    candidates[plan.candidate] = (candidates[plan.candidate] ?? 0) + 1
    standing = plan.splits
    router.observe(request.target, demand)
  }
  await remote.close()
  const p99 = (values: number[]) => nearestRank(sorted(values), 0.99)
  return {
    plan: p99(times.plan),
    place: p99(times.place),
    step: p99(times.step),
    first: times.step[0]!,
    steps: STEPS,
    shards: shards.count,
    candidates,
  }
}
