import type { Ack, DecisionReason } from '#schemas'
import { churnBudget, type DecideInput, type Hysteresis, makeDecision } from '#core/decisions'
import { type Decision, mulberry32 } from '#core/ports'

/** A body as small as can be: the region that carries everything. */
export interface TestBody {
  region: string
}

export const reason = (over: Partial<DecisionReason> = {}): DecisionReason => ({
  risk: 0.3,
  drivers: ['load of west rises'],
  q10: 1,
  q50: 2,
  q90: 3,
  cost_now: 100,
  cost_after: 50,
  ...over,
})

export const hysteresis: Hysteresis = { minGain: 0.1, minIntervalMs: 60_000, urgentRisk: 0.9 }

type Made = Omit<Parameters<typeof makeDecision<TestBody>>[0], 'body'>

export function decision(region: string, over: Partial<Made> = {}): Decision<TestBody> {
  return makeDecision<TestBody>({
    subsystem: 'traffic-routing',
    entity: 'a>b',
    body: { region },
    previous: null,
    issuedAtMs: 1_000_000,
    lifeMs: 600_000,
    mode: 'apply',
    reason: reason(),
    inputs: [],
    modelVersion: 'm1',
    policyVersion: 'p1',
    random: mulberry32(1),
    ...over,
  })
}

export function input(over: Partial<DecideInput<TestBody>>): DecideInput<TestBody> {
  const nowMs = over.nowMs ?? 1_100_000
  return {
    standing: null,
    proposal: { body: { region: 'west' }, reason: reason() },
    nowMs,
    hysteresis,
    churnBudget: churnBudget({ changes: 10, intervalMs: 60_000, nowMs }),
    lifeMs: 600_000,
    mode: { kind: 'apply' },
    ...over,
  }
}

export const ack = (
  of: Decision<TestBody>,
  follower: string,
  state: Ack['state'],
  atMs = of.issued_at_ms + 5,
  observed: Ack['observed'] = {},
): Ack => ({
  decision_id: of.decision_id,
  decision_topic: 'decisions.test',
  entity: of.entity,
  epoch: of.epoch,
  follower,
  state,
  at_ms: atMs,
  observed,
})
