import type { DataScaleBody, DecisionReason, Forecast, PipelineFeature, Risk, ServiceFeature } from '#schemas'
import {
  type BodiesOf,
  type DecisionBook,
  decisionBook,
  type DecisionOutputs,
  type Occasion,
  probability,
  type Standing,
} from '#core/decisions'
import { featureInput, forecastInput } from '#core/features'
import { type ForecastTables, NO_TABLES } from '#core/forecasting'
import { ByteReader, ByteWriter } from '#core/math'
import type { Clock } from '#core/ports'
import {
  defineTopology,
  type Round,
  type RoundOutput,
  type RoundProcessor,
  type Topology,
} from '#core/runtime'
import { nextBody, samePlacement } from './bodies.ts'
import { type DataConfig, type DataService, segmentId } from './config.ts'
import { FEATURES } from './features.ts'
import { deviationOf, FORECASTS, WORK } from './forecasts.ts'
import { Layout } from './placement/index.ts'
import { POLICY_VERSION, type PolicyResult } from './policy.ts'
import { ServiceWorld } from './world.ts'

/** Name of the topology: its consumer group. */
export const DECISIONS = 'data.decisions'

/** What is decided, and where that is written. */
export const DECISION_OUTPUTS = {
  shards: { topic: 'decisions.data.shards', record: 'DataShardDecision', marked: false },
  scale: { topic: 'decisions.data.scale', record: 'DataScaleDecision', marked: false },
} as const satisfies DecisionOutputs

type Bodies = BodiesOf<typeof DECISION_OUTPUTS>

const SUBSYSTEM = 'data-sharding'
const SNAPSHOT_EVERY = 96
const MODEL_VERSION = 'pooled-2'

/** What the decisions need of the world beside their inputs. */
export interface DataDecisionDeps {
  readonly clock: Clock
  /** What stands in the decision topics: read when a replay after a restart is over. */
  readStanding(): Promise<Standing<Bodies>>
  /** Told after every round, with its time. */
  onRound?(timeMs: number): void
}

/** Everything about one service in one round. */
interface Turn extends Occasion {
  readonly service: DataService
  readonly world: ServiceWorld
  readonly risk: Risk | undefined
}

class DecisionProcessor implements RoundProcessor {
  readonly #config: DataConfig
  readonly #deps: DataDecisionDeps
  readonly #worlds: ServiceWorld[]
  readonly #book: DecisionBook<Bodies>
  readonly #tables: ForecastTables
  #areTablesRead = false

  constructor(config: DataConfig, deps: DataDecisionDeps, tables: ForecastTables) {
    this.#config = config
    this.#deps = deps
    this.#tables = tables
    this.#worlds = config.services.map((service) => new ServiceWorld(config, service, () => tables.events()))
    this.#book = decisionBook<Bodies>({
      subsystem: SUBSYSTEM,
      policyVersion: POLICY_VERSION,
      settings: config,
      clock: deps.clock,
      readStanding: () => deps.readStanding(),
    })
  }

  async live(): Promise<void> {
    await this.#book.live()
    this.#worlds.forEach((world, k) => {
      const layout = this.#standingLayout(this.#config.services[k]!)
      if (layout !== null) world.stand(layout)
    })
  }

  /** Where the segments of a service lie by what stands; null unless that is said of every one. */
  #standingLayout(service: DataService): Layout | null {
    const layout = new Layout(this.#config.segments, service.instances.length)
    const index = new Map(service.instances.map((instance, i) => [instance, i]))
    for (let s = 0; s < this.#config.segments; s++) {
      const body = this.#book.standing('shards').get(segmentId(service.service, s))?.body
      for (const { instance, state } of body?.replicas ?? []) {
        const i = index.get(instance)
        if (i !== undefined && state !== 'draining') layout.add(s, i)
      }
      if (layout.count[s] === 0) return null
    }
    return layout
  }

  async onRound(round: Round, out: RoundOutput): Promise<void> {
    if (!this.#areTablesRead) await this.#tables.ready()
    this.#areTablesRead = true
    const rows = <T>(name: string) => (round.rows[name] ?? []) as T[]
    const features = new Map(rows<ServiceFeature>('services').map((row) => [row.service_id, row]))
    const forecasts = new Map(
      rows<Forecast>('forecasts')
        .filter(({ metric }) => metric === WORK)
        .map((f) => [f.entity, f]),
    )
    const pipelines = new Map(rows<PipelineFeature>('pipelines').map((row) => [row.pipeline_id, row]))
    const risks = new Map(rows<Risk>('risks').map((risk) => [risk.entity, risk]))
    const nowMs = this.#book.nowMs(round)
    this.#config.services.forEach((service, k) => {
      const world = this.#worlds[k]!
      const decided = this.#book.standing('scale').get(service.service)?.body.instances
      const result = world.step(round.timeMs, features.get(service.service), forecasts, pipelines, decided)
      if (round.replayed) return
      const turn = { round, out, nowMs, service, world, risk: risks.get(service.service) }
      this.#writeShards(turn, result, forecasts)
      this.#writeScale(turn)
    })
    if (!round.replayed) this.#deps.onRound?.(round.timeMs)
  }

  #writeShards(turn: Turn, result: PolicyResult, forecasts: ReadonlyMap<string, Forecast>): void {
    const { service, world, nowMs } = turn
    const { segments } = this.#config
    const { layout } = result
    const standing = this.#book.standing('shards')
    const shares = world.readShares(layout)
    const [now, after] = [world.imbalance(world.before), world.imbalance(layout)]
    for (let s = 0; s < segments; s++) {
      const id = segmentId(service.service, s)
      const previous = standing.get(id)
      const forecast = forecasts.get(id)
      const wanted = layout.holders(s).map((i) => ({
        instance: service.instances[i]!,
        weight: shares[s * layout.instances + i]!,
      }))
      const load = { q50: forecast?.q50 ?? world.expected[s]!, q90: forecast?.q90 ?? world.expected[s]! }
      const body = nextBody({
        service: service.service,
        id,
        segment: s,
        segments,
        wanted,
        standing: previous?.body,
        load,
        epoch: nowMs,
      })
      if (previous !== undefined && samePlacement(previous.body, body) && previous.mode === this.#config.mode)
        continue
      const costs = { cost_now: now, cost_after: Math.min(now, after) }
      const drivers = this.#drivers(turn, result, load.q50, previous === undefined)
      const reason = { ...this.#reasonOf(forecast, turn.risk), ...costs, drivers }
      this.#book.write(turn, 'shards', id, { body, reason, lifeMs: null, modelVersion: MODEL_VERSION })
    }
  }

  #drivers(turn: Turn, { followed, costs }: PolicyResult, load: number, isFirst: boolean): string[] {
    if (isFirst) return ['first placement: rendezvous hashing']
    const { world, risk } = turn
    const share = (100 * load) / Math.max(1e-9, world.meanLoad)
    return [
      `segment expected at ${load.toFixed(1)} of work: ${share.toFixed(0)} % of an instance's mean`,
      `max/mean ${world.imbalance(world.before).toFixed(3)} before, ${world.imbalance(world.layout).toFixed(3)} after`,
      `follows '${followed}': cost ${costs.get(followed)?.toFixed(4)} against ${[...costs]
        .filter(([name]) => name !== followed)
        .map(([name, cost]) => `${cost.toFixed(4)} (${name})`)
        .join(', ')}`,
      ...(risk?.drivers.slice(1) ?? []),
    ]
  }

  #reasonOf(forecast: Forecast | undefined, risk: Risk | undefined) {
    const q50 = forecast?.q50 ?? 0
    const spread = forecast === undefined ? 0 : 1.2816 * deviationOf(forecast)
    return {
      risk: probability(risk?.probability ?? 0),
      q10: Math.max(0, q50 - spread),
      q50,
      q90: q50 + spread,
    }
  }

  #writeScale(turn: Turn): void {
    const { service, world, round, risk } = turn
    const previous = this.#book.standing('scale').get(service.service)
    const first = service.elastic === true ? service.minInstances : service.instances.length
    const now = previous?.body.instances ?? first
    const { wish, instances, capacity } = world.scale(now)
    if (previous !== undefined && instances === now && previous.mode === this.#config.mode) return
    const { leadWindows, windowMs } = this.#config
    const costOf = (n: number): number => wish.costs[Math.min(n, service.maxInstances)] ?? 0
    const body: DataScaleBody = {
      service: service.service,
      instances,
      instances_now: now,
      min_instances: service.minInstances,
      max_instances: service.maxInstances,
      capacity,
      peak_ms: round.timeMs + (leadWindows + 1) * windowMs,
      load_q50: wish.q50,
      load_q90: wish.q90,
      load_q99: wish.q99,
    }
    const reason: DecisionReason = {
      risk: probability(risk?.probability ?? wish.risk),
      drivers: [
        `${wish.q50.toFixed(0)} of work expected, ${wish.q99.toFixed(0)} in one of a hundred; an instance does ${capacity.toFixed(0)}`,
        ...(risk?.drivers.slice(1) ?? []),
      ],
      q10: wish.q10,
      q50: wish.q50,
      q90: wish.q90,
      cost_now: costOf(now),
      cost_after: costOf(instances),
    }
    this.#book.write(turn, 'scale', service.service, {
      body,
      reason,
      lifeMs: null,
      modelVersion: MODEL_VERSION,
    })
  }

  snapshot(): Uint8Array {
    const out = new ByteWriter(1 << 20)
    for (const world of this.#worlds) world.encode(out)
    return out.take()
  }

  restore(bytes: Uint8Array): void {
    const from = new ByteReader(bytes)
    for (const world of this.#worlds) world.decode(from)
  }
}

/**
 * Features, forecasts and risks of all services to placements and instance counts, in one task: they share a churn
 * budget. `tables`: the calendar, which instance counts are decided with.
 */
export function decisionsTopology(
  config: DataConfig,
  deps: DataDecisionDeps,
  tables: ForecastTables = NO_TABLES,
): Topology {
  const writers = { services: 'features.services' }
  return defineTopology({
    name: DECISIONS,
    rounds: {
      decide: {
        scope: 'all',
        inputs: {
          services: featureInput('features.services', 'ServiceFeature', FEATURES, 'services'),
          pipelines: featureInput('features.pipelines', 'PipelineFeature', FEATURES, 'pipelines'),
          forecasts: forecastInput('forecasts.data', 'Forecast', FORECASTS, writers),
          risks: forecastInput('risks.data', 'Risk', FORECASTS, writers),
        },
        outputs: DECISION_OUTPUTS,
        snapshotEvery: SNAPSHOT_EVERY,
        create: () => new DecisionProcessor(config, deps, tables),
      },
    },
  })
}
