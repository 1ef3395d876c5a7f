import type { Ack, DecisionInput, DecisionReason, Forecast } from '#schemas'
import type { Decision } from '../ports/index.ts'

/** A decision with all that is known of its cause and its effect. */
export interface Explanation {
  /** For people: a few lines. */
  text: string
  json: {
    decision_id: string
    subsystem: string
    entity: string
    epoch: number
    mode: string
    issued_at: string
    not_before: string
    expires_at: string | null
    supersedes: string | null
    reason: DecisionReason
    saving: number
    inputs: DecisionInput[]
    model_version: string
    policy_version: string
    body: unknown
    forecasts: Forecast[]
    /** Last report of each follower. */
    followers: { follower: string; state: string; at: string; delay_ms: number; observed: Ack['observed'] }[]
  }
}

const isoTime = (ms: number): string => new Date(ms).toISOString()

const figure = (value: number): string =>
  Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)))

function lastReports(decisionId: string, acks: readonly Ack[]): Ack[] {
  const last = new Map<string, Ack>()
  for (const ack of acks) {
    if (ack.decision_id !== decisionId) continue
    const before = last.get(ack.follower)
    if (before === undefined || ack.at_ms >= before.at_ms) last.set(ack.follower, ack)
  }
  return [...last.values()].sort((a, b) => (a.follower < b.follower ? -1 : 1))
}

/**
 * Why a decision was taken, what it would have cost not to act, what it rests on and what the followers did.
 * Acks and forecasts of other decisions and entities may be among the arguments: they are left out.
 */
export function explainDecision<Body>(
  decision: Decision<Body>,
  acks: readonly Ack[],
  forecasts: readonly Forecast[] = [],
): Explanation {
  const { reason, expires_at_ms: expiresAtMs } = decision
  const reports = lastReports(decision.decision_id, acks)
  const json: Explanation['json'] = {
    decision_id: decision.decision_id,
    subsystem: decision.subsystem,
    entity: decision.entity,
    epoch: decision.epoch,
    mode: decision.mode,
    issued_at: isoTime(decision.issued_at_ms),
    not_before: isoTime(decision.not_before_ms),
    expires_at: expiresAtMs === null ? null : isoTime(expiresAtMs),
    supersedes: decision.supersedes,
    reason,
    saving: reason.cost_now - reason.cost_after,
    inputs: decision.inputs,
    model_version: decision.model_version,
    policy_version: decision.policy_version,
    body: decision.body,
    forecasts: forecasts.filter((f) => f.entity === decision.entity),
    followers: reports.map((ack) => ({
      follower: ack.follower,
      state: ack.state,
      at: isoTime(ack.at_ms),
      delay_ms: ack.at_ms - decision.issued_at_ms,
      observed: ack.observed,
    })),
  }
  return { text: lines(json).join('\n'), json }
}

function lines(e: Explanation['json']): string[] {
  const { reason } = e
  const mode = e.mode === 'apply' ? '' : ` (${e.mode})`
  return [
    `Decision ${e.decision_id} about ${e.entity}, epoch ${e.epoch}${mode}`,
    `  issued ${e.issued_at}, ${e.expires_at === null ? 'stands until superseded' : `expires ${e.expires_at}`}`,
    `  risk ${figure(reason.risk)}; forecast q10 ${figure(reason.q10)}, q50 ${figure(reason.q50)}, q90 ${figure(reason.q90)}`,
    `  cost of not acting ${figure(reason.cost_now)}, of acting ${figure(reason.cost_after)}: saves ${figure(e.saving)}`,
    ...reason.drivers.map((driver) => `  because ${driver}`),
    ...e.forecasts.map(
      (f) =>
        `  forecast ${f.metric} for ${isoTime(f.target_ms)}: q50 ${figure(f.q50)} (${figure(f.q10)} to ${figure(f.q90)}), ${f.model} ${f.model_version}`,
    ),
    `  model ${e.model_version}, policy ${e.policy_version}${e.supersedes === null ? '' : `, replaces ${e.supersedes}`}`,
    ...e.inputs.map((i) => `  rests on ${i.topic} partition ${i.partition} up to offset ${i.offset}`),
    ...(e.followers.length === 0 ? ['  no follower has reported'] : e.followers.map(followerLine)),
  ]
}

function followerLine(f: Explanation['json']['followers'][number]): string {
  const seen = Object.entries(f.observed).map(([key, value]) => `${key}=${value}`)
  return `  ${f.follower}: ${f.state} after ${f.delay_ms} ms${seen.length === 0 ? '' : ` (${seen.join(', ')})`}`
}
