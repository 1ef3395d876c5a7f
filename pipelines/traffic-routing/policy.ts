import type { Risk, RouteBody, Scenario, Shard, ShardBody } from '#schemas'
import type { Solvers } from '#core/subsystem'
import type { TrafficConfig } from './config.ts'
import { policiesOf } from './config.ts'
import { type Network, shortestSplits } from './network.ts'
import { createRouter, ROUTER_SETTINGS, type RoutePlan, type Router } from './router.ts'
import { costGoal, type Goal } from './router-goal.ts'
import {
  createPlacer,
  maxRegionShare,
  routeBodies,
  shardColumns,
  sizeAllShards,
  standingPaths,
} from './shards/index.ts'
import type { World } from './world.ts'

/** Version of the policy, as decisions name it. */
export const POLICY_VERSION = 'traffic-routing/1'

/** The live router plans for fewer scenarios than the evaluation does: it has a deadline. */
const LIVE_ROUTER = {
  ...ROUTER_SETTINGS,
  recent: { ...ROUTER_SETTINGS.recent, count: 4 },
  extremes: { ...ROUTER_SETTINGS.extremes, count: 6 },
  fixed: { ...ROUTER_SETTINGS.fixed, perBag: 60, bags: 1 },
}

/** What a policy proposes for one window, in the unit of the costs (ms of mean latency). */
export interface RouteProposal {
  readonly bodies: readonly RouteBody[]
  readonly plan: RoutePlan
}

/** Sizes shards and plans routes; pure but for the solver. */
export interface TrafficPolicy {
  /** Shards per stream, in the order of the network. */
  shards(risks: ReadonlyMap<string, Risk>, standing: ReadonlyMap<string, ShardBody>): Shard[][]
  /** Cost of a cut: traffic in shards above their cap, in percent of all traffic, plus a trifle per shard. */
  shardCost(shards: readonly Shard[], pair: number, risk: number): number
  /** Routes for the next window. */
  routes(
    scenarios: readonly Scenario[],
    shards: readonly (readonly Shard[])[],
    standing: ReadonlyMap<string, RouteBody>,
  ): Promise<RouteProposal>
  /** Tells what came; learns on schedule and when the health of a region changes. */
  observed(demand: Float64Array): void
}

/** Windows of history before the first plan; then it is made anew whenever the history has doubled, up to the schedule. */
const FIRST_LEARNING = 3
const SHARD_PRICE = 1e-4

/** A policy over what the world looks like. */
export function createTrafficPolicy(config: TrafficConfig, world: World, solvers: Solvers): TrafficPolicy {
  const { network } = config
  let current: Network = network
  let goal: Goal = costGoal(network, config.churnPrice)
  /** The router keeps one goal; regions change, so it asks the present one. */
  const following: Goal = {
    scenario: (demand, weight) => goal.scenario(demand, weight),
    problem: (scenarios, standing) => goal.problem(scenarios, standing),
    loss: (splits, demand) => goal.loss(splits, demand),
    expected: (splits, scenarios) => goal.expected(splits, scenarios),
  }
  const router: Router = createRouter(network, following, solvers.inline, LIVE_ROUTER)
  const placer = createPlacer(network)
  const policies = network.pairNames.map((_, pair) => policiesOf(config, pair))
  const regionLimit = Float64Array.from(policies, (p) => maxRegionShare(p.minRegions))
  let healthKey = ''
  let learntAt = -1

  const learn = () => {
    learntAt = world.windows
    current = world.network()
    goal = costGoal(current, config.churnPrice)
    router.learn({ history: world.history, lag: 1 })
  }
  let shareOfTraffic = { window: -1, share: new Float64Array(network.pairs) }
  /** Share of all traffic per stream over the last windows; once per window, since every cut asks for it. */
  const meanShares = () => {
    if (shareOfTraffic.window !== world.windows) {
      shareOfTraffic = {
        window: world.windows,
        share: trafficShares(world.history.slice(-config.horizon), network.pairs),
      }
    }
    return shareOfTraffic.share
  }
  const capOf = (pair: number, risk: number) => {
    const { cap, riskShrink } = policies[pair]!
    return cap * (1 - riskShrink * risk)
  }

  return {
    shards(risks, standing) {
      const share = meanShares()
      const inputs = network.pairNames.map((stream, pair) => ({
        stream,
        shareByPrefix: world.shares(pair),
        streamBytesShare: Math.min(1, share[pair]!),
        risk: clamp(risks.get(stream)?.probability ?? 0),
        policies: policies[pair]!,
        standing: standing.get(stream)?.shards ?? [],
      }))
      return sizeAllShards(inputs, config.maxShards)
    },
    shardCost(shards, pair, risk) {
      const share = meanShares()[pair]!
      const cap = capOf(pair, risk)
      const excess = shards.reduce((sum, shard) => sum + Math.max(0, shard.share * share - cap), 0)
      return 100 * excess + SHARD_PRICE * shards.length
    },
    async routes(scenarios, shards, standing) {
      const draws = jointDraws(network, scenarios, world)
      const request = { target: world.windows, scenarios: draws, standing: standingSplits(network, standing) }
      const { remote } = solvers
      const plan = remote
        ? await router.planRemotely(remote, request, config.solverDeadlineMs)
        : router.plan(request, config.solverDeadlineMs)
      const demand =
        draws.length > 0
          ? meanOf(draws, network.pairs)
          : (world.history.at(-1) ?? new Float64Array(network.pairs))
      const placement = placer.place({
        shards: shardColumns(shards),
        targets: plan.splits,
        demand,
        standing: standingPaths(network, shards, standing),
        regionLimit,
        latencyMs: current.latencyMs,
      })
      const bodies = routeBodies(network, shards, plan.splits, placement.path, standing).map(withOwner)
      return { bodies, plan }
    },
    observed(demand) {
      router.observe(world.windows - 1, demand)
      const key = world.healthKey()
      const due =
        learntAt < 0
          ? world.windows >= FIRST_LEARNING
          : world.windows - learntAt >= Math.min(config.learnEvery, learntAt)
      if (!due && (key === healthKey || learntAt < 0)) return
      healthKey = key
      learn()
    },
  }
}

function meanOf(demands: readonly Float64Array[], pairs: number): Float64Array<ArrayBuffer> {
  const mean = new Float64Array(pairs)
  for (const demand of demands)
    for (let k = 0; k < pairs; k++) mean[k] = mean[k]! + demand[k]! / demands.length
  return mean
}

function trafficShares(demands: readonly Float64Array[], pairs: number): Float64Array<ArrayBuffer> {
  const mean = meanOf(demands, pairs)
  const total = mean.reduce((sum, d) => sum + d, 0)
  return mean.map((d) => (total > 0 ? d / total : 1 / pairs))
}

const clamp = (x: number) => (x > 0 ? Math.min(1, x) : 0)

/** Draw k of every stream together: one demand vector per origin. A stream without a forecast stays at its last demand. */
function jointDraws(network: Network, scenarios: readonly Scenario[], world: World): Float64Array[] {
  const count = scenarios.reduce((most, s) => Math.max(most, s.draws.length), 0)
  const last = world.history.at(-1) ?? new Float64Array(network.pairs)
  const draws = Array.from({ length: count }, () => last.slice())
  for (const { entity, draws: values } of scenarios) {
    const pair = world.pairOf(entity)
    if (pair === undefined) continue
    for (let k = 0; k < count; k++) draws[k]![pair] = values[k % values.length] ?? last[pair]!
  }
  return draws
}

/** The splits that standing routes amount to; the default path where none stands. */
export function standingSplits(network: Network, standing: ReadonlyMap<string, RouteBody>): Float64Array {
  const splits = shortestSplits(network)
  const pathOf = new Map(network.pathIds.map((id, p) => [id, p]))
  network.pairNames.forEach((stream, pair) => {
    const body = standing.get(stream)
    if (body === undefined || body.paths.some(({ path_id }) => pathOf.get(path_id) === undefined)) return
    splits.fill(0, network.firstPath[pair], network.firstPath[pair + 1])
    for (const { path_id, weight } of body.paths) splits[pathOf.get(path_id)!] = weight
  })
  return splits
}

/** The region that owns a stream's state: the one that stands, while it carries at least half of what the largest does. */
function withOwner(body: RouteBody): RouteBody {
  const weight = new Map<string, number>()
  for (const path of body.paths) weight.set(path.region, (weight.get(path.region) ?? 0) + path.weight)
  const [largest] = [...weight].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
  if (largest === undefined) return body
  const held = weight.get(body.region_owner) ?? 0
  return held >= largest[1] / 2 ? body : { ...body, region_owner: largest[0] }
}
