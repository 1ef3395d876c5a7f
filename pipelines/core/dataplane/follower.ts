import type { Ack } from '#schemas'
import {
  type Clock,
  type Decision,
  type DecisionApplier,
  type DecisionEvent,
  type DecisionSource,
  ForestallError,
  isError,
  systemTimers,
  type TimerHandle,
  type Timers,
} from '../ports/index.ts'
import type { DecisionKind } from './admission.ts'
import { type FollowerCounters, zeroCounters } from './counters.ts'
import { createEntity, type EntityDeps, type FollowedEntity, newEntity, type StoredEntity } from './entity.ts'
import { readSnapshot } from './snapshot-file.ts'
import { createSnapshotWriter, type SnapshotWriter } from './snapshot-writer.ts'

/** What a follower is made of. */
export interface FollowerOptions<Body> extends DecisionApplier<Body> {
  /** Who reports; unique per process and data plane. */
  id: string
  source: DecisionSource<Body>
  /** Sends a report; failures are counted and change nothing. */
  sendAck(ack: Ack): Promise<void> | void
  clock: Clock
  /** Whether what it follows expires. Default 'preference'. */
  kind?: DecisionKind
  /** Where it keeps what stands, to restart without Kafka. */
  snapshotFile?: string
  /** Takes decisions of this replay only; '' (default): live ones only. */
  replayId?: string
  /** Identity by which canaries choose; `id` by default. */
  canaryKey?: string
  /** Preferences expire up to this much later, so that followers do not all fall back at once. Default 0. */
  expiryJitterMs?: number
  timers?: Timers
  /** Told about what went wrong and was mended by itself: a damaged snapshot, Kafka away, a record it cannot read. */
  onWarning?(error: Error): void
}

/** The state of a follower, for /health. */
export interface FollowerHealth {
  state: 'new' | 'running' | 'stopped'
  /** Everything that stood in the topic at the start has been seen. */
  caughtUp: boolean
  /** Records behind the end last seen; -1 if not known. */
  lag: number
  /** Entities with a decision in force. */
  held: number
  /** When the oldest and the newest decision in force were issued, ms; NaN if none is. */
  oldestIssuedMs: number
  newestIssuedMs: number
  /** Highest epoch in force; NaN if nothing is. */
  epoch: number
  /** Entities with a decision that waits for its time or for the data plane. */
  waiting: number
  lastWarning: string | null
  counters: FollowerCounters
}

/** Puts the decisions of one topic into force at one data plane, and says what it did. */
export interface Follower<Body> {
  /** Puts the snapshot on disk into force, then begins to read. Resolves without Kafka. */
  start(): Promise<void>
  /** Ends reading, waits for calls under way, writes the snapshot. What stands goes on standing. */
  stop(): Promise<void>
  /** Resolves once everything that stood in the topic at the start is in force. */
  caughtUp(): Promise<void>
  /** Resolves once no call to the data plane and no write to disk is under way. */
  settled(): Promise<void>
  /** What is in force for an entity; null: the default. */
  holds(entity: string): Decision<Body> | null
  lag(): number
  health(): FollowerHealth
}

/** The last record of an entity, and the highest epoch met. */
interface Collected<Body> {
  decision: Decision<Body> | null
  epoch: number
}

/** A follower; nothing happens before `start`. */
export function createFollower<Body>(options: FollowerOptions<Body>): Follower<Body> {
  const { clock, id, source, timers = systemTimers, replayId = '', kind = 'preference' } = options
  const counters = zeroCounters()
  const entities = new Map<string, FollowedEntity<Body>>()
  const nextOffsets = new Map<number, number>()
  let state: FollowerHealth['state'] = 'new'
  /** Last record of each entity until caught up: what was superseded in the log is never applied. */
  let collected: Map<string, Collected<Body>> | null = new Map()
  let lastWarning: string | null = null
  let timer: { handle: TimerHandle; atMs: number } | null = null
  const { promise: caughtUp, resolve: nowCaughtUp } = Promise.withResolvers<void>()

  function warn(error: Error): void {
    lastWarning = isError(error, 'SNAPSHOT_CORRUPT') ? `${error.code}: ${error.message}` : error.message
    options.onWarning?.(error)
  }

  function ack(decision: Decision<Body>, ackState: Ack['state'], observed: Ack['observed'] = {}): void {
    const { decision_id, entity, epoch } = decision
    const at = { decision_topic: source.topic, follower: id, at_ms: clock.nowMs() }
    counters.acks++
    const failed = (): void => {
      counters.ackFailures++
    }
    try {
      const sent = options.sendAck({ decision_id, entity, epoch, state: ackState, observed, ...at })
      if (sent !== undefined) sent.catch(failed)
    } catch {
      failed()
    }
  }

  const writer: SnapshotWriter | null =
    options.snapshotFile === undefined
      ? null
      : createSnapshotWriter(
          options.snapshotFile,
          () => ({
            topic: source.topic,
            replayId,
            nextOffsets: [...nextOffsets],
            entities: [...entities.values()].map((e) => e.stored()),
          }),
          (error) => {
            if (error === null) counters.snapshotWrites++
            else counters.snapshotFailures++
            if (error !== null) warn(error)
          },
        )

  const deps: EntityDeps<Body> = {
    applier: options,
    clock,
    kind,
    replayId,
    canaryKey: options.canaryKey ?? id,
    expiryJitterMs: options.expiryJitterMs ?? 0,
    counters,
    ack,
    changed() {
      writer?.request()
      schedule()
    },
  }

  /** One timer for the earliest deadline of all entities. */
  function schedule(): void {
    const atMs = Math.min(Infinity, ...[...entities.values()].map((e) => e.dueMs()))
    if (timer?.atMs === atMs) return
    timer?.handle.cancel()
    timer = null
    if (atMs === Infinity || state !== 'running') return
    const handle = timers.after(atMs - clock.nowMs(), () => {
      timer = null
      for (const entity of entities.values()) entity.wake()
      schedule()
    })
    timer = { handle, atMs }
  }

  function entityOf(name: string, stored: StoredEntity<Body> = newEntity(name)): FollowedEntity<Body> {
    const known = entities.get(name)
    if (known !== undefined) return known
    const made = createEntity(deps, stored)
    entities.set(name, made)
    return made
  }

  function onDecision({ entity, decision, partition, offset }: DecisionEvent<Body>): void {
    counters.received++
    nextOffsets.set(partition, offset + 1)
    if (collected === null) {
      if (decision === null) entityOf(entity).withdraw()
      else entityOf(entity).offer(decision)
      return
    }
    const epoch = collected.get(entity)?.epoch ?? 0
    if (decision === null) collected.set(entity, { decision, epoch })
    else if (decision.replay_id !== replayId) reject(decision, `replay_id "${decision.replay_id}"`)
    else if (decision.epoch <= epoch) reject(decision, `epoch ${decision.epoch} is not above ${epoch}`)
    else collected.set(entity, { decision, epoch: decision.epoch })
  }

  function reject(decision: Decision<Body>, reason: string): void {
    counters.rejected++
    ack(decision, 'rejected', { reason })
  }

  /** Whether the topic still goes back to what the snapshot had seen: a topic made anew says nothing about it. */
  function isContinued(seen: ReadonlyMap<number, number>, ends: ReadonlyMap<number, number>): boolean {
    return [...seen].every(([partition, offset]) => (ends.get(partition) ?? 0) >= offset)
  }

  function onCaughtUp(seen: ReadonlyMap<number, number>, ends: ReadonlyMap<number, number>): void {
    const last = collected
    if (last === null) return
    collected = null
    for (const [entity, { decision, epoch }] of last) {
      if (decision === null) entityOf(entity).withdraw(epoch)
      else entityOf(entity).offer(decision)
    }
    if (isContinued(seen, ends)) {
      // Compaction has removed their tombstones: what is not in the topic does not stand.
      for (const [name, entity] of entities) if (!last.has(name)) withdrawIfHeld(entity)
    } else {
      const what = `${source.topic} ends before what the snapshot had seen: was it made anew?`
      warn(new ForestallError('NOT_FOUND', `${what} What the snapshot holds goes on standing.`))
    }
    for (const [partition, offset] of ends) nextOffsets.set(partition, offset)
    writer?.request()
    nowCaughtUp()
  }

  async function loadSnapshot(file: string): Promise<void> {
    try {
      const snapshot = await readSnapshot<Body>(file, source.topic, replayId)
      for (const [partition, offset] of snapshot?.nextOffsets ?? []) nextOffsets.set(partition, offset)
      for (const stored of snapshot?.entities ?? []) entityOf(stored.entity, stored).restore()
    } catch (e) {
      if (!isError(e, 'SNAPSHOT_CORRUPT')) throw e
      warn(e)
    }
  }

  async function settled(): Promise<void> {
    await Promise.all([...entities.values()].map((e) => e.settled()))
    await writer?.flushed()
  }

  return {
    async start() {
      if (state !== 'new') return
      state = 'running'
      if (options.snapshotFile !== undefined) await loadSnapshot(options.snapshotFile)
      await settled()
      schedule()
      const seen = new Map(nextOffsets)
      source.start({
        onDecision,
        onCaughtUp: (ends) => onCaughtUp(seen, ends),
        onError(error) {
          if (isError(error, 'RECORD_UNDECODABLE') || isError(error, 'RECORD_SCHEMA_UNKNOWN')) {
            counters.undecodable++
          } else counters.sourceErrors++
          warn(error)
        },
      })
    },
    async stop() {
      state = 'stopped'
      timer?.handle.cancel()
      timer = null
      await source.stop()
      await settled()
    },
    async caughtUp() {
      await caughtUp
      await settled()
    },
    settled,
    holds: (entity) => entities.get(entity)?.stored().held ?? null,
    lag: () => source.lag(),
    health() {
      const stored = [...entities.values()].map((e) => e.stored())
      const held = stored.flatMap((e) => e.held ?? [])
      const known = (value: number): number => (held.length === 0 ? Number.NaN : value)
      const issued = held.map((decision) => decision.issued_at_ms)
      return {
        state,
        caughtUp: collected === null,
        lag: source.lag(),
        held: held.length,
        oldestIssuedMs: known(issued.reduce((least, ms) => Math.min(least, ms), Infinity)),
        newestIssuedMs: known(issued.reduce((most, ms) => Math.max(most, ms), -Infinity)),
        epoch: known(held.reduce((most, { epoch }) => Math.max(most, epoch), -Infinity)),
        waiting: stored.filter((e) => e.next !== null).length,
        lastWarning,
        counters: { ...counters },
      }
    },
  }
}

function withdrawIfHeld<Body>(entity: FollowedEntity<Body>): void {
  const { held, next } = entity.stored()
  if (held !== null || next !== null) entity.withdraw()
}
