import { isDeepStrictEqual } from 'node:util'
import type { RegionFeature, Risk, RouteBody, Scenario, Shard, ShardBody, StreamFeature } from '#schemas'
import {
  type BodiesOf,
  type Costs,
  type DecisionBook,
  decisionBook,
  type DecisionOutputs,
  type Hysteresis,
  type Occasion,
  reasonOf,
  type Standing,
} from '#core/decisions'
import { featureInput, forecastInput } from '#core/features'
import type { Clock, Decision } from '#core/ports'
import {
  defineTopology,
  type Round,
  type RoundOutput,
  type RoundProcessor,
  type Topology,
} from '#core/runtime'
import type { Solvers } from '#core/subsystem'
import type { TrafficConfig } from './config.ts'
import { FEATURES } from './features.ts'
import { FORECASTS } from './forecasts.ts'
import { createTrafficPolicy, POLICY_VERSION, type TrafficPolicy } from './policy.ts'
import { DEMAND } from './series.ts'
import { World } from './world.ts'

/** Name of the topology: its consumer group. */
export const DECISIONS = 'traffic.decisions'

/** What is decided, and where that is written. */
export const DECISION_OUTPUTS = {
  shards: { topic: 'decisions.traffic.shards', record: 'ShardDecision', marked: false },
  routes: { topic: 'decisions.traffic.routes', record: 'RouteDecision', marked: false },
} as const satisfies DecisionOutputs

type Bodies = BodiesOf<typeof DECISION_OUTPUTS>

const SUBSYSTEM = 'traffic-routing'
const SNAPSHOT_EVERY = 30
const WARM_UP_ROUNDS = 4
/** Weights that differ by less are the same plan: renewing them would be churn. */
const SAME_WEIGHT = 0.02

/** What the decisions need of the world beside their inputs. */
export interface DecisionDeps {
  readonly clock: Clock
  readonly solvers: Solvers
  /** What stands in the decision topics: read when a replay after a restart is over. */
  readStanding(): Promise<Standing<Bodies>>
  /** Told after every round, with its time. */
  onRound?(timeMs: number): void
}

/** Everything about one stream in one round. */
interface Turn extends Occasion {
  readonly risks: ReadonlyMap<string, Risk>
}

class DecisionProcessor implements RoundProcessor {
  readonly #config: TrafficConfig
  readonly #deps: DecisionDeps
  readonly #world: World
  readonly #policy: TrafficPolicy
  readonly #book: DecisionBook<Bodies>

  constructor(config: TrafficConfig, deps: DecisionDeps) {
    this.#config = config
    this.#deps = deps
    this.#world = new World(config)
    this.#policy = createTrafficPolicy(config, this.#world, deps.solvers)
    this.#book = decisionBook<Bodies>({
      subsystem: SUBSYSTEM,
      policyVersion: POLICY_VERSION,
      settings: config,
      clock: deps.clock,
      readStanding: () => deps.readStanding(),
      churn: { changes: config.changesPerWindow, intervalMs: config.windowMs },
    })
  }

  async live(): Promise<void> {
    await this.#book.live()
    await this.#warmUp()
  }

  /** A plan for nobody: the first real one must not wait for the solver to load and for code to be compiled. */
  async #warmUp(): Promise<void> {
    const policy = createTrafficPolicy(this.#config, new World(this.#config), this.#deps.solvers)
    for (let i = 0; i < WARM_UP_ROUNDS; i++) {
      policy.observed(new Float64Array(this.#config.network.pairs).fill(1))
      await policy.routes([], policy.shards(new Map(), new Map()), new Map())
    }
  }

  async onRound(round: Round, out: RoundOutput): Promise<void> {
    const rows = (name: string) => round.rows[name] ?? []
    const demand = this.#world.observe(rows('streams') as StreamFeature[], rows('regions') as RegionFeature[])
    this.#policy.observed(demand)
    if (round.replayed) return
    const risks = new Map((rows('risks') as Risk[]).map((risk) => [risk.entity, risk]))
    const nowMs = this.#book.nowMs(round)
    // Behind by several windows: a plan for what is over helps nobody, and would put the next ones off as well.
    const { time, staleWindows, windowMs } = this.#config
    if (time === 'wall' && nowMs - round.timeMs > staleWindows * windowMs) return
    const turn: Turn = { round, out, nowMs, risks }
    const scenarios = (rows('scenarios') as Scenario[]).filter((s) => s.metric === DEMAND)
    this.#decideShards(turn)
    await this.#decideRoutes(turn, scenarios)
    this.#deps.onRound?.(round.timeMs)
  }

  #decideShards(turn: Turn): void {
    const standing = bodiesOf(this.#book.standing('shards'))
    const cuts = this.#policy.shards(turn.risks, standing)
    this.#config.network.pairNames.forEach((stream, pair) => {
      const risk = turn.risks.get(stream)?.probability ?? 0
      const shards = cuts[pair] as Shard[]
      const now = standing.get(stream)?.shards
      // Nothing stands: the whole stream is one shard, which the cap would refuse.
      const costNow = this.#policy.shardCost(now ?? [wholeStream(stream)], pair, risk) + (now ? 0 : 1)
      const costAfter = this.#policy.shardCost(shards, pair, risk)
      // A split protects and is urgent at a high risk; joining saves a trifle and waits until it is calm for a horizon.
      const { windowMs, horizon } = this.#config
      const hysteresis: Hysteresis =
        now === undefined || hasSplit(now, shards)
          ? { minGain: 0, minIntervalMs: 2 * windowMs, urgentRisk: 0.5 }
          : { minGain: 0, minIntervalMs: horizon * windowMs, urgentRisk: Infinity }
      this.#book.propose(turn, 'shards', stream, {
        ...because(turn, stream, { costNow, costAfter }),
        body: { stream, shards },
        lifeMs: null,
        hysteresis,
        sameBody: sameCut,
      })
    })
  }

  async #decideRoutes(turn: Turn, scenarios: readonly Scenario[]): Promise<void> {
    const cuts = this.#book.standing('shards')
    const standing = this.#book.standing('routes')
    const shards = this.#config.network.pairNames.map(
      (stream) => cuts.get(stream)?.body.shards ?? [wholeStream(stream)],
    )
    const { bodies, plan } = await this.#policy.routes(scenarios, shards, bodiesOf(standing))
    const { windowMs, minGain, routeLifeMs } = this.#config
    const hysteresis: Hysteresis = { minGain, minIntervalMs: windowMs, urgentRisk: 0.5 }
    for (const body of bodies) {
      const first = !standing.has(body.stream)
      // The first routes replace a default that knows nothing of shards: they are worth a trifle even at equal cost.
      const costNow = plan.costNow + (first ? Math.max(1e-3, minGain * plan.costNow * 2) : 0)
      const costs = { costNow, costAfter: Math.min(plan.costAfter, plan.costNow) }
      const cutChanged = !first && !sameShards(body, standing.get(body.stream)?.body)
      if (cutChanged) costs.costNow += Math.max(1e-3, minGain * plan.costNow * 2)
      this.#book.propose(turn, 'routes', body.stream, {
        ...because(turn, body.stream, costs),
        body,
        lifeMs: routeLifeMs,
        hysteresis,
        sameBody: sameRoutes,
      })
    }
  }

  snapshot(): Uint8Array {
    return this.#world.snapshot()
  }

  restore(bytes: Uint8Array): void {
    this.#world.restore(bytes)
  }
}

/** Why something is decided about a stream, and by which model. */
function because({ risks }: Turn, stream: string, costs: Costs) {
  const risk = risks.get(stream)
  return { reason: reasonOf(risk, costs), modelVersion: risk?.model_version ?? 'none' }
}

const bodiesOf = <Body>(held: ReadonlyMap<string, Decision<Body>>): Map<string, Body> =>
  new Map([...held].map(([stream, decision]) => [stream, decision.body]))

const wholeStream = (stream: string): Shard => ({
  shard_id: `${stream}/0/0`,
  depth: 0,
  prefix: 0,
  share: 1,
  priority: 5,
  critical: false,
  min_regions: 1,
})

/** True if a shard lies strictly within one that stands. */
function hasSplit(standing: readonly Shard[], shards: readonly Shard[]): boolean {
  const nodes = new Set(standing.map(({ depth, prefix }) => `${depth}/${prefix}`))
  return shards.some(({ depth, prefix }) => {
    for (let up = 1; up <= depth; up++) {
      if (nodes.has(`${depth - up}/${Math.floor(prefix / 2 ** up)}`)) return true
    }
    return false
  })
}

const sameCut = (a: ShardBody, b: ShardBody): boolean =>
  a.shards.length === b.shards.length &&
  a.shards.every((shard, i) => shard.shard_id === b.shards[i]?.shard_id)

const sameShards = (a: RouteBody, b: RouteBody | undefined): boolean =>
  b !== undefined &&
  a.assignments.length === b.assignments.length &&
  a.assignments.every((x, i) => x.shard_id === b.assignments[i]?.shard_id)

/** The same owner, the same path per shard, and weights that no data plane could tell apart. */
function sameRoutes(a: RouteBody, b: RouteBody): boolean {
  if (a.region_owner !== b.region_owner || !isDeepStrictEqual(a.assignments, b.assignments)) return false
  const weights = new Map(b.paths.map(({ path_id, weight }) => [path_id, weight]))
  const seen = a.paths.every(
    ({ path_id, weight }) => Math.abs(weight - (weights.get(path_id) ?? 0)) < SAME_WEIGHT,
  )
  return (
    seen &&
    b.paths.every(({ path_id, weight }) => weight < SAME_WEIGHT || a.paths.some((p) => p.path_id === path_id))
  )
}

/** features, scenarios and risks of all streams to shards and routes, in one task: they compete for the same links. */
export function decisionsTopology(config: TrafficConfig, deps: DecisionDeps): Topology {
  const writers = { streams: 'features.streams', regions: 'features.regions' }
  return defineTopology({
    name: DECISIONS,
    rounds: {
      decide: {
        scope: 'all',
        inputs: {
          streams: featureInput('features.streams', 'StreamFeature', FEATURES, 'streams'),
          regions: featureInput('features.regions', 'RegionFeature', FEATURES, 'regions'),
          scenarios: forecastInput('scenarios.traffic', 'Scenario', FORECASTS, writers),
          risks: forecastInput('risks.traffic', 'Risk', FORECASTS, writers),
        },
        outputs: DECISION_OUTPUTS,
        snapshotEvery: SNAPSHOT_EVERY,
        create: () => new DecisionProcessor(config, deps),
      },
    },
  })
}
