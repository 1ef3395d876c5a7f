import type { Ack } from '#schemas'
import { createFollower, type Follower, type FollowerOptions } from '#core/dataplane'
import {
  type Decision,
  type DecisionApplier,
  type DecisionSource,
  type DecisionSourceHandler,
  ForestallError,
  manualClock,
  manualTimers,
} from '#core/ports'

/** A body as small as can be. */
export interface TestBody {
  region: string
}

export const START_MS = 1_000_000

export function decision(
  entity: string,
  region: string,
  epoch: number,
  over: Partial<Decision<TestBody>> = {},
): Decision<TestBody> {
  return {
    decision_id: `${entity}-${epoch}`,
    subsystem: 'test',
    entity,
    epoch,
    issued_at_ms: START_MS,
    not_before_ms: START_MS,
    expires_at_ms: START_MS + 60_000,
    mode: 'apply',
    canary_share: 1,
    replay_id: '',
    reason: { risk: 0.5, drivers: [], q10: 1, q50: 2, q90: 3, cost_now: 2, cost_after: 1 },
    inputs: [],
    model_version: 'm',
    policy_version: 'p',
    supersedes: null,
    body: { region },
    ...over,
  }
}

/** A source that hands out what the test says. */
interface ScriptedSource extends DecisionSource<TestBody> {
  put(entity: string, decision: Decision<TestBody> | null): Promise<void>
  caughtUp(): Promise<void>
  fail(error: Error): void
  readonly started: boolean
}

function scriptedSource(): ScriptedSource {
  let handler: DecisionSourceHandler<TestBody> | null = null
  let offset = 0
  const needed = (): DecisionSourceHandler<TestBody> => {
    if (handler === null) throw new ForestallError('NOT_FOUND', 'The source has not been started.')
    return handler
  }
  return {
    topic: 'decisions.test',
    start(given) {
      handler = given
    },
    stop: async () => {},
    lag: () => 0,
    put: async (entity, next) => {
      await needed().onDecision({ entity, decision: next, partition: 0, offset: offset++, timestampMs: 0 })
    },
    caughtUp: async () => {
      await needed().onCaughtUp(new Map([[0, offset]]))
    },
    fail: (error) => needed().onError(error),
    get started() {
      return handler !== null
    },
  }
}

/** A data plane of variables: what is in force by entity, and every call that was made. */
export interface TestPlane extends DecisionApplier<TestBody> {
  readonly inForce: Map<string, string>
  readonly calls: string[]
  /** Called before a call takes effect: throw to fail it, await to hold it up. */
  before: (call: string) => Promise<void> | void
  readonly mostAtOnce: () => number
}

export function testPlane(): TestPlane {
  const inForce = new Map<string, string>()
  const calls: string[] = []
  const atOnce = new Map<string, number>()
  let most = 0
  async function guarded(entity: string, call: string, effect: () => void): Promise<void> {
    const now = (atOnce.get(entity) ?? 0) + 1
    atOnce.set(entity, now)
    most = Math.max(most, now)
    calls.push(call)
    try {
      await plane.before(call)
      effect()
    } finally {
      atOnce.set(entity, now - 1)
    }
  }
  const plane: TestPlane = {
    inForce,
    calls,
    before: () => {},
    mostAtOnce: () => most,
    async apply({ entity, body }) {
      await guarded(entity, `apply ${entity} ${body.region}`, () => inForce.set(entity, body.region))
      return { region: body.region }
    },
    async revert(entity) {
      await guarded(entity, `revert ${entity}`, () => inForce.delete(entity))
    },
    preview: async ({ body }) => ({ would: body.region }),
  }
  return plane
}

/** A follower on manual time, with what it reported. */
export interface Bench {
  follower: Follower<TestBody>
  source: ScriptedSource
  plane: TestPlane
  acks: Ack[]
  /** `state entity epoch` of every report. */
  reports: () => string[]
  warnings: Error[]
  clock: ReturnType<typeof manualClock>
  advance: (ms: number) => Promise<void>
}

export function bench(over: Partial<FollowerOptions<TestBody>> = {}, plane = testPlane()): Bench {
  const clock = manualClock(START_MS)
  const timers = manualTimers(clock)
  const source = scriptedSource()
  const acks: Ack[] = []
  const warnings: Error[] = []
  const follower = createFollower<TestBody>({
    id: 'f1',
    source,
    sendAck: (ack) => void acks.push(ack),
    apply: (d, c) => plane.apply(d, c),
    revert: (e) => plane.revert(e),
    preview: async ({ body }) => ({ would: body.region }),
    clock,
    timers,
    onWarning: (e) => warnings.push(e),
    ...over,
  })
  return {
    follower,
    source,
    plane,
    acks,
    warnings,
    clock,
    reports: () => acks.map((a) => `${a.state} ${a.entity} ${a.epoch}`),
    async advance(ms) {
      timers.advance(ms)
      await follower.settled()
    },
  }
}

/** A bench whose follower has started and caught up with an empty topic. */
export async function liveBench(over: Partial<FollowerOptions<TestBody>> = {}): Promise<Bench> {
  const made = bench(over)
  await made.follower.start()
  await made.source.caughtUp()
  return made
}
