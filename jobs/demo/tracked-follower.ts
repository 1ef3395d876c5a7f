import { join } from 'node:path'
import type { Ack, RecordName } from '#schemas'
import type { RecordCodec } from '#core/codec'
import {
  type AckSender,
  createBrokerSource,
  createFollower,
  type Follower,
  type FollowerHealth,
} from '#core/dataplane'
import type {
  Broker,
  Clock,
  DecisionApplier,
  DecisionSource,
  DecodeDecision,
  RecordCursor,
  Timers,
} from '#core/ports'
import type { FollowerStatus } from '#infra/web'
import { scanTopic } from '../topic-reader.ts'

export type { FollowerStatus }

/** A follower of one topic, and what is to be known of it. */
export interface TrackedFollower {
  readonly id: string
  readonly topic: string
  start(): Promise<void>
  stop(): Promise<void>
  /** Resolves once the decisions that stand in the topic now have been handed to the data plane, or after `limitMs`. */
  caughtUpWith(limitMs: number): Promise<void>
  health(): FollowerHealth
  status(): FollowerStatus
}

/** What followers of one data plane share. */
export interface FollowerContext {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly clock: Clock
  readonly timers?: Timers
  readonly topicPrefix: string
  readonly replayId: string
  readonly acks: AckSender
  /** Folder for snapshots; absent: a restart reads the topic again. */
  readonly dataDir?: string
  readonly onWarning?: (error: Error) => void
}

/** What one follower does. */
export interface FollowerSpec<Body> {
  readonly id: string
  /** Without prefix. */
  readonly topic: string
  readonly kind: 'preference' | 'placement'
  readonly applier: DecisionApplier<Body>
  readonly decode: DecodeDecision<Body>
}

const LOOK_MS = 20

/** A follower over the broker; nothing happens before `start`. */
export function trackFollower<Body>(context: FollowerContext, spec: FollowerSpec<Body>): TrackedFollower {
  const { broker, clock, timers, topicPrefix, replayId, acks, dataDir, onWarning } = context
  const { id, kind, applier, decode } = spec
  const topic = `${topicPrefix}${spec.topic}`
  const seen = new Map<number, number>()
  let lastAckAtMs: number | null = null
  const sendAck = (ack: Ack): void => {
    lastAckAtMs = ack.at_ms
    acks.send(ack)
  }
  const follower: Follower<Body> = createFollower({
    id,
    kind,
    source: noteOffsets(
      createBrokerSource(broker, topic, decode, timers === undefined ? {} : { timers }),
      seen,
    ),
    sendAck,
    clock,
    replayId,
    apply: (decision, applied) => applier.apply(decision, applied),
    revert: (entity) => applier.revert(entity),
    ...(applier.preview === undefined ? {} : { preview: applier.preview }),
    ...(timers === undefined ? {} : { timers }),
    ...(dataDir === undefined ? {} : { snapshotFile: join(dataDir, `${id}.snapshot`) }),
    ...(onWarning === undefined ? {} : { onWarning }),
  })

  async function caughtUpWith(limitMs: number): Promise<void> {
    const deadline = performance.now() + limitMs
    const wanted = await lastDecisions(broker, topic, limitMs)
    const isBehind = (): boolean =>
      [...wanted].some(([partition, offset]) => (seen.get(partition) ?? -1) < offset)
    while (isBehind() && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
    }
    await follower.settled()
  }

  return {
    id,
    topic,
    start: () => follower.start(),
    stop: () => follower.stop(),
    caughtUpWith,
    health: () => follower.health(),
    status() {
      const { state, caughtUp, lag, held } = follower.health()
      const running = caughtUp ? 'live' : 'catching_up'
      return { id, state: state === 'running' ? running : 'detached', lag, held, lastAckAtMs }
    },
  }
}

/** The same source; notes the offset of each decision that has been handed out, by partition. */
function noteOffsets<Body>(source: DecisionSource<Body>, seen: Map<number, number>): DecisionSource<Body> {
  return {
    topic: source.topic,
    lag: () => source.lag(),
    stop: () => source.stop(),
    start: (handler) =>
      source.start({
        onDecision: async (event) => {
          await handler.onDecision(event)
          seen.set(event.partition, event.offset)
        },
        onCaughtUp: (next) => handler.onCaughtUp(next),
        onError: (error) => handler.onError(error),
      }),
  }
}

/**
 * Offset of the last committed decision or tombstone of each partition. A transaction that is being completed is waited
 * for, one that a dead writer has left open only up to `limitMs`.
 */
async function lastDecisions(broker: Broker, topic: string, limitMs: number): Promise<Map<number, number>> {
  const last = new Map<number, number>()
  const note = ({ keyLength, partition, offset }: RecordCursor): void => {
    if (keyLength >= 0) last.set(partition, offset)
  }
  await scanTopic(broker, topic, note, { limitMs })
  return last
}

/** Decodes the decisions of a topic. */
export const decisionDecoder =
  <R extends RecordName>(codec: RecordCodec, record: R) =>
  (value: Buffer) =>
    codec.decodeAsync(value, 0, value.length, record)
