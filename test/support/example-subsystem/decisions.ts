import type { Forecast, Risk } from '#schemas'
import { type BodiesOf, decisionBook, type DecisionOutputs, reasonOf } from '#core/decisions'
import { forecastInput } from '#core/features'
import { defineTopology, type Topology } from '#core/runtime'
import { decisionRounds, type SubsystemDeps } from '#core/subsystem'
import type { PoolConfig } from './config.ts'
import { sizeFor } from './policy.ts'

const scale = { topic: 'decisions.example.scale', record: 'DataScaleDecision', marked: false } as const
const OUTPUTS = { scale } satisfies DecisionOutputs
const LIMITS = { min_instances: 1, max_instances: 100 }

function decider(config: PoolConfig, { clock, readStanding }: SubsystemDeps) {
  const { windowMs, horizon, perInstance: capacity } = config
  const book = decisionBook<BodiesOf<typeof OUTPUTS>>({
    subsystem: 'example',
    policyVersion: 'example/1',
    settings: config,
    clock,
    readStanding: () => readStanding(OUTPUTS),
  })
  return decisionRounds(book, ({ rows }, at) => {
    const risks = new Map((rows['risks'] as Risk[]).map((risk) => [risk.entity, risk]))
    for (const f of rows['forecasts'] as Forecast[]) {
      if (f.horizon_ms !== horizon * windowMs) continue
      const [service, load_q50, load_q90, load_q99] = [f.entity, f.q50, f.q90, f.q99]
      const instances_now = book.standing('scale').get(service)?.body.instances ?? 0
      const { instances, ...costs } = sizeFor(load_q90, instances_now, capacity)
      const size = { service, instances, instances_now, capacity, ...LIMITS }
      book.propose(at, 'scale', service, {
        body: { ...size, peak_ms: f.target_ms, load_q50, load_q90, load_q99 },
        reason: reasonOf(risks.get(service), costs),
        lifeMs: null,
        modelVersion: f.model_version,
        hysteresis: { minGain: 0.05, minIntervalMs: 2 * windowMs, urgentRisk: 0.5 },
        sameBody: (a, b) => a.instances === b.instances,
      })
    }
  })
}

/** Forecasts and risks of all pools to their sizes, in one task. */
export function decisionsTopology(config: PoolConfig, deps: SubsystemDeps): Topology {
  const writers = { pools: 'features.example' }
  const inputs = {
    forecasts: forecastInput('forecasts.example', 'Forecast', 'example.forecasts', writers),
    risks: forecastInput('risks.example', 'Risk', 'example.forecasts', writers),
  }
  const create = () => decider(config, deps)
  const decide = { scope: 'all', inputs, outputs: OUTPUTS, snapshotEvery: 10, create } as const
  return defineTopology({ name: 'example.decisions', rounds: { decide } })
}
