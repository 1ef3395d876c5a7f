import type { Ack } from '#schemas'
import { canaryPosition, type Clock, type Decision, type DecisionApplier, isError } from '../ports/index.ts'
import { admit, type DecisionKind, hasExpired } from './admission.ts'
import { createBackground } from './background.ts'
import type { FollowerCounters } from './counters.ts'

/** What is kept of an entity across restarts. */
export interface StoredEntity<Body> {
  entity: string
  lastEpoch: number
  lastId: string | null
  /** In force; null: the default. */
  held: Decision<Body> | null
  /** Not applied yet: under way, before its time, or the data plane did not answer. */
  next: Decision<Body> | null
}

/** What an entity needs of its follower. */
export interface EntityDeps<Body> {
  applier: DecisionApplier<Body>
  clock: Clock
  kind: DecisionKind
  replayId: string
  canaryKey: string
  expiryJitterMs: number
  counters: FollowerCounters
  ack(decision: Decision<Body>, state: Ack['state'], observed?: Ack['observed']): void
  /** Called after every change of what is stored or due. */
  changed(): void
}

/** One entity at one follower: calls to the data plane are made one after another, the newest wins. */
export interface FollowedEntity<Body> {
  /** A decision read from the topic. */
  offer(decision: Decision<Body>): void
  /** A tombstone, or gone from the topic: back to the default. `epoch`: the highest met before it. */
  withdraw(epoch?: number): void
  /** Puts what was stored into force again. */
  restore(): void
  /** Acts on what has become due. */
  wake(): void
  /** When `wake` is to be called next, ms; Infinity if never. */
  dueMs(): number
  stored(): StoredEntity<Body>
  /** Resolves once no call to the data plane is under way or queued. */
  settled(): Promise<void>
}

type Target<Body> =
  | { kind: 'apply'; decision: Decision<Body>; attempt: number; restoring: boolean }
  | { kind: 'revert'; of: Decision<Body> | null; why: 'expired' | 'withdrawn'; attempt: number }

const FIRST_RETRY_MS = 250
const LONGEST_RETRY_MS = 15_000
const retryDelayMs = (attempt: number): number => Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** attempt)

const textOf = (e: unknown): string => (e instanceof Error ? e.message : String(e))

/** An entity as stored, or a new one that stands at the default. */
export function createEntity<Body>(deps: EntityDeps<Body>, start: StoredEntity<Body>): FollowedEntity<Body> {
  const { applier, clock, counters } = deps
  const { entity } = start
  let { lastEpoch, lastId, held } = start
  /** The next thing to do now; replaced by newer ones while a call is under way. */
  let target: Target<Body> | null = null
  /** What the data plane is being told. */
  let underWay: Target<Body> | null = null
  /** To be done at a time; a newer decision replaces it. */
  let later: { target: Target<Body>; atMs: number } | null =
    start.next === null
      ? null
      : { target: { kind: 'apply', decision: start.next, attempt: 0, restoring: false }, atMs: 0 }
  /** Whether this process has put the data plane into a known state. */
  let known = false
  const calls = createBackground(pump, () => deps.changed())

  const jitterMs = canaryPosition(deps.canaryKey, `expiry/${entity}`) * deps.expiryJitterMs
  const expiryMs = (): number =>
    held === null || held.expires_at_ms === null || deps.kind === 'placement'
      ? Infinity
      : held.expires_at_ms + jitterMs

  function aim(next: Target<Body>): void {
    if (target !== null) counters.superseded++
    target = next
    calls.kick()
  }

  async function pump(): Promise<void> {
    while (target !== null) {
      const now: Target<Body> = target
      target = null
      underWay = now
      await (now.kind === 'apply' ? runApply(now) : runRevert(now))
      underWay = null
      known = true
    }
  }

  async function runApply(now: Target<Body> & { kind: 'apply' }): Promise<void> {
    const { decision } = now
    if (hasExpired(decision, deps.kind, clock.nowMs())) {
      return runRevert({ kind: 'revert', of: decision, why: 'expired', attempt: 0 })
    }
    try {
      const observed = await applier.apply(decision, { previous: held, restoring: now.restoring })
      held = decision
      counters.applied++
      deps.ack(decision, 'applied', observed)
    } catch (e) {
      await applyFailed(now, e)
    }
  }

  async function applyFailed(now: Target<Body> & { kind: 'apply' }, e: unknown): Promise<void> {
    const { decision, attempt } = now
    const reason = textOf(e)
    if (isError(e, 'DATA_PLANE_UNREACHABLE')) {
      counters.unreachable++
      if (attempt === 0) deps.ack(decision, 'warming', { reason })
      if (target === null && later === null) {
        later = { target: { ...now, attempt: attempt + 1 }, atMs: clock.nowMs() + retryDelayMs(attempt) }
      }
      return
    }
    if (isError(e, 'DATA_PLANE_REFUSED')) {
      counters.rejected++
      deps.ack(decision, 'rejected', { reason })
      return
    }
    const observed: Ack['observed'] = { reason }
    try {
      if (held === null || held === decision) await applier.revert(entity)
      else await applier.apply(held, { previous: null, restoring: true })
    } catch (again) {
      counters.restoreFailures++
      observed['restore_error'] = textOf(again)
    }
    if (held === decision) held = null
    counters.rolledBack++
    deps.ack(decision, 'rolled_back', observed)
  }

  async function runRevert(now: Target<Body> & { kind: 'revert' }): Promise<void> {
    const { why, attempt } = now
    const of = why === 'withdrawn' ? (held ?? now.of) : now.of
    held = null
    if (attempt === 0) {
      counters[why]++
      if (of !== null) deps.ack(of, why === 'expired' ? 'expired' : 'rolled_back', { reason: why })
    }
    try {
      await applier.revert(entity)
    } catch (e) {
      if (isError(e, 'DATA_PLANE_UNREACHABLE')) counters.unreachable++
      else counters.restoreFailures++
      if (target !== null || later !== null) return
      later = { target: { ...now, attempt: attempt + 1 }, atMs: clock.nowMs() + retryDelayMs(attempt) }
    }
  }

  async function runDry(decision: Decision<Body>): Promise<void> {
    counters.dryRuns++
    try {
      const would = applier.preview === undefined ? {} : await applier.preview(decision)
      deps.ack(decision, 'accepted', { mode: 'dry_run', ...would })
    } catch (e) {
      deps.ack(decision, 'rejected', { mode: 'dry_run', reason: textOf(e) })
    }
  }

  /** The newest decision replaces what waits; what stands goes on standing. */
  function take(decision: Decision<Body>): void {
    lastEpoch = decision.epoch
    lastId = decision.decision_id
  }

  function offer(decision: Decision<Body>): void {
    const nowMs = clock.nowMs()
    const { kind, replayId, canaryKey } = deps
    const admission = admit(decision, { entity, lastEpoch, lastId, nowMs, kind, replayId, canaryKey })
    switch (admission.verdict) {
      case 'repeat':
        counters.repeats++
        return
      case 'refuse':
        counters.rejected++
        deps.ack(decision, 'rejected', { reason: admission.reason })
        return
      case 'dry_run':
        take(decision)
        void runDry(decision)
        break
      case 'outside_canary':
        take(decision)
        counters.outsideCanary++
        deps.ack(decision, 'accepted', { canary: 'outside the share' })
        break
      case 'wait':
        take(decision)
        later = { target: { kind: 'apply', decision, attempt: 0, restoring: false }, atMs: admission.untilMs }
        deps.ack(decision, 'accepted', { not_before_ms: String(admission.untilMs) })
        break
      case 'expired':
        take(decision)
        later = null
        aim({ kind: 'revert', of: decision, why: 'expired', attempt: 0 })
        break
      default:
        take(decision)
        later = null
        aim({ kind: 'apply', decision, attempt: 0, restoring: false })
    }
    deps.changed()
  }

  /** What a process after this one would have to begin with: a decision that was read and never applied is not lost. */
  function nextOf(): Decision<Body> | null {
    const pending = target ?? underWay
    if (pending?.kind === 'revert') return null
    if (pending !== null && !pending.restoring) return pending.decision
    return later?.target.kind === 'apply' ? later.target.decision : null
  }

  return {
    offer,
    withdraw(epoch = 0) {
      lastEpoch = Math.max(lastEpoch, epoch)
      const waiting = target ?? later?.target
      const of = held ?? (waiting?.kind === 'apply' ? waiting.decision : null)
      // At the default already, and not still trying to get there.
      if (of === null && known && waiting === undefined && !calls.busy) return
      later = null
      aim({ kind: 'revert', of, why: 'withdrawn', attempt: 0 })
      deps.changed()
    },
    restore() {
      const waiting = later?.target
      // What was under way when the process ended follows what is held, and must not wait for the way back to that.
      if (waiting?.kind === 'apply' && waiting.decision.not_before_ms <= clock.nowMs()) {
        later = null
        aim(waiting)
      } else if (held !== null) aim({ kind: 'apply', decision: held, attempt: 0, restoring: true })
    },
    wake() {
      const nowMs = clock.nowMs()
      if (!calls.busy && nowMs >= expiryMs()) {
        aim({ kind: 'revert', of: held, why: 'expired', attempt: 0 })
      }
      if (!calls.busy && later !== null && nowMs >= later.atMs) {
        const due = later.target
        later = null
        if (due.kind === 'apply' && due.decision.not_before_ms > nowMs) {
          later = { target: due, atMs: due.decision.not_before_ms }
        } else aim(due)
      }
    },
    // While a call is under way nothing is due: it reports a change when it ends.
    dueMs: () => (!calls.busy ? Math.min(later?.atMs ?? Infinity, expiryMs()) : Infinity),
    stored: () => ({
      entity,
      lastEpoch,
      lastId,
      held,
      next: nextOf(),
    }),
    settled: () => calls.settled(),
  }
}

/** An entity of which nothing is known yet. */
export const newEntity = <Body>(entity: string): StoredEntity<Body> => ({
  entity,
  lastEpoch: 0,
  lastId: null,
  held: null,
  next: null,
})
