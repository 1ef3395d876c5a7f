import type { DecisionInput, DecisionReason } from '#schemas'
import { murmur3Text } from '../math/index.ts'
import { type Clock, type Decision, mulberry32 } from '../ports/index.ts'
import { type ChurnBudget, churnBudget } from './churn-budget.ts'
import { makeDecision } from './envelope.ts'
import { decide } from './proposal.ts'
import type { DecisionSettings } from './settings.ts'
import type { Standing } from './standing-of.ts'
import type { Hysteresis } from './verdict.ts'
import { recordOf } from './write.ts'

/** The round in which is decided, and where decisions go: a `Round` and a `RoundOutput` of the runtime. */
export interface Occasion {
  readonly round: { readonly timeMs: number; readonly inputs: readonly DecisionInput[] }
  readonly out: { emit(output: string, key: string, value: object | null): void }
  /** What the decisions are dated by, ms. */
  readonly nowMs: number
}

/** What is decided about one entity, and why. */
export interface Entry<Body> {
  readonly body: Body
  readonly reason: DecisionReason
  /** Life of a preference; null: placement. */
  readonly lifeMs: number | null
  readonly modelVersion: string
}

/** What a policy would like to stand, and when that is worth a change. */
export interface Wish<Body> extends Entry<Body> {
  readonly hysteresis: Hysteresis
  /** Whether two bodies mean the same; deep equality by default. */
  readonly sameBody?: (a: Body, b: Body) => boolean
}

/** Settings of a book. */
export interface BookOptions<Bodies> {
  readonly subsystem: string
  readonly policyVersion: string
  readonly settings: DecisionSettings
  readonly clock: Pick<Clock, 'nowMs'>
  /** What stands in the decision topics. */
  readonly readStanding: () => Promise<Standing<Bodies>>
  /** Changes allowed over all entities, where `propose` is used. First decisions move nothing and are free. */
  readonly churn?: { readonly changes: number; readonly intervalMs: number }
}

/** What stands of all outputs of a decision node, and the only way in which a decision comes to stand. */
export interface DecisionBook<Bodies> {
  /** Reads back what stands; before the first round that is not replayed. */
  live(): Promise<void>
  /** What decisions of a round are dated by: the clock, or the round in a replay of the past. */
  nowMs(round: { readonly timeMs: number }): number
  /** What stands of an output, by entity. */
  standing<Output extends keyof Bodies & string>(
    output: Output,
  ): ReadonlyMap<string, Decision<Bodies[Output]>>
  /** Decides whatever stands. Throws RECORD_INVALID as `makeDecision`. */
  write<Output extends keyof Bodies & string>(
    at: Occasion,
    output: Output,
    entity: string,
    entry: Entry<Bodies[Output]>,
  ): void
  /** Decides if hysteresis and churn budget allow it; renews what stands at half of its life. */
  propose<Output extends keyof Bodies & string>(
    at: Occasion,
    output: Output,
    entity: string,
    wish: Wish<Bodies[Output]>,
  ): void
}

/** An empty book; `live` fills it. */
export function decisionBook<Bodies>(options: BookOptions<Bodies>): DecisionBook<Bodies> {
  const { subsystem, policyVersion, settings, clock, churn } = options
  const { mode, replayId, seed } = settings
  let held: Partial<Standing<Bodies>> = {}
  let budget: ChurnBudget | undefined
  const of = <Output extends keyof Bodies & string>(
    output: Output,
  ): Map<string, Decision<Bodies[Output]>> => {
    const found = held[output] ?? new Map<string, Decision<Bodies[Output]>>()
    held[output] = found
    return found
  }
  /** The envelope but for what is decided: the same round gives the same id. */
  const context = <Body>(
    { round, nowMs }: Occasion,
    output: string,
    entity: string,
    entry: Entry<Body>,
    previous: Decision<Body> | null,
  ) => ({
    subsystem,
    entity,
    previous,
    issuedAtMs: nowMs,
    lifeMs: entry.lifeMs,
    replayId,
    inputs: round.inputs,
    modelVersion: entry.modelVersion,
    policyVersion,
    random: mulberry32(seed ^ murmur3Text(`${output}/${entity}/${round.timeMs}`)),
  })
  return {
    async live() {
      held = await options.readStanding()
    },
    nowMs: ({ timeMs }) => (settings.time === 'wall' ? clock.nowMs() : timeMs),
    standing: of,
    write(at, output, entity, entry) {
      const standing = of(output)
      const previous = standing.get(entity) ?? null
      const { body, reason } = entry
      const record = makeDecision({ ...context(at, output, entity, entry, previous), body, mode, reason })
      at.out.emit(output, entity, record)
      standing.set(entity, record)
    },
    propose(at, output, entity, wish) {
      const standing = of(output)
      const previous = standing.get(entity) ?? null
      const { nowMs } = at
      const { body, reason, hysteresis, lifeMs, sameBody } = wish
      const free = churnBudget({ changes: 1, intervalMs: 1, nowMs })
      if (churn !== undefined) budget ??= churnBudget({ ...churn, nowMs })
      const verdict = decide({
        standing: previous,
        proposal: { body, reason },
        nowMs,
        hysteresis,
        churnBudget: previous === null || budget === undefined ? free : budget,
        lifeMs,
        mode: { kind: mode },
        ...(sameBody === undefined ? {} : { sameBody }),
      })
      if (previous !== null && budget !== undefined) budget = verdict.budget
      const record = recordOf(verdict, context(at, output, entity, wish, previous))
      if (record === undefined) return
      at.out.emit(output, entity, record)
      if (record === null) standing.delete(entity)
      else standing.set(entity, record)
    },
  }
}
