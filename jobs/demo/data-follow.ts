import type { DataScaleBody, DataShardBody } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { createAckSender, type Follower } from '#core/dataplane'
import type { Broker, Clock, DecisionApplier } from '#core/ports'
import {
  decisionDecoder,
  type FollowerContext,
  type FollowerStatus,
  type TrackedFollower,
  trackFollower,
} from './tracked-follower.ts'

/** The followers of decisions about data. */
export interface DataFollowers {
  status(): FollowerStatus[]
  /** Decisions about segments that were put into force, were refused, or had a newer one before they were. */
  counts(): { readonly applied: number; readonly refused: number; readonly superseded: number }
  /** Instances wanted; null before the first decision. */
  wanted(): number | null
  /** Resolves once what stands now has been applied and acknowledged, at most after `limitMs`. */
  settled(limitMs: number): Promise<void>
  stop(): Promise<void>
}

/** What following needs. */
export interface DataFollowOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly clock: Clock
  readonly topicPrefix: string
  readonly replayId: string
  readonly service: string
  /** Puts instance counts into force. */
  readonly scaler: DecisionApplier<DataScaleBody>
  /** Follows the placement already. */
  readonly placement: Follower<DataShardBody>
  readonly onWarning: (error: Error) => void
}

const ACKS = 'acks.decisions'

/** Starts a follower of the instance counts beside that of the placement. */
export async function followData(options: DataFollowOptions): Promise<DataFollowers> {
  const { broker, codec, clock, topicPrefix, service, placement, scaler } = options
  const acks = createAckSender({
    broker,
    topic: `${topicPrefix}${ACKS}`,
    encode: (ack) => codec.encode(ACKS, 'Ack', ack),
    clock,
  })
  const context: FollowerContext = { ...options, acks }
  let wanted: number | null = null
  const scale: TrackedFollower = trackFollower<DataScaleBody>(context, {
    topic: 'decisions.data.scale',
    kind: 'placement',
    id: 'scaler',
    decode: decisionDecoder(codec, 'DataScaleDecision'),
    applier: {
      ...scaler,
      apply(decision, applied) {
        if (decision.body.service === service) wanted = decision.body.instances
        return scaler.apply(decision, applied)
      },
    },
  })
  await scale.start()
  return {
    status: () => [placementStatus(placement), scale.status()],
    counts() {
      const { applied, rejected, rolledBack, superseded } = placement.health().counters
      return { applied, refused: rejected + rolledBack, superseded }
    },
    wanted: () => wanted,
    async settled(limitMs) {
      await scale.caughtUpWith(limitMs)
      await within(limitMs, placement.settled())
      await acks.flushed()
    },
    async stop() {
      await scale.stop()
      await acks.close()
    },
  }
}

function placementStatus(follower: Follower<DataShardBody>): FollowerStatus {
  const { state, caughtUp, lag, held } = follower.health()
  const running = caughtUp ? 'live' : 'catching_up'
  return {
    id: 'query-router',
    state: state === 'running' ? running : 'detached',
    lag,
    held,
    lastAckAtMs: null,
  }
}

/** Resolves with the work, or after `limitMs`: moves under way may take longer. */
async function within(limitMs: number, work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, limitMs)
  })
  await Promise.race([work, limit])
  clearTimeout(timer)
}
