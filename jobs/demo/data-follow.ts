import type { DataScaleBody, DataShardBody } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { createAckSender } from '#core/dataplane'
import type { Broker, Clock, DecisionApplier } from '#core/ports'
import { createScaleTable } from '../scale-table.ts'
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
  /** Decisions about segments that were put into force, and those that were refused. */
  counts(): { readonly applied: number; readonly refused: number; readonly lastRefusal: string }
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
  /** Puts a placement into force. */
  readonly applier: DecisionApplier<DataShardBody>
  readonly onWarning: (error: Error) => void
}

const ACKS = 'acks.decisions'

/** Starts a follower of the placement and one of the instance counts. */
export async function followData(options: DataFollowOptions): Promise<DataFollowers> {
  const { broker, codec, clock, topicPrefix, service } = options
  const acks = createAckSender({
    broker,
    topic: `${topicPrefix}${ACKS}`,
    encode: (ack) => codec.encode(ACKS, 'Ack', ack),
    clock,
  })
  const context: FollowerContext = { ...options, acks }
  const counted = countApplied(options.applier)
  const scale = createScaleTable()
  let wanted: number | null = null
  const followers: TrackedFollower[] = [
    trackFollower<DataShardBody>(context, {
      topic: 'decisions.data.shards',
      kind: 'placement',
      id: 'query-router',
      decode: decisionDecoder(codec, 'DataShardDecision'),
      applier: counted.applier,
    }),
    trackFollower<DataScaleBody>(context, {
      topic: 'decisions.data.scale',
      kind: 'placement',
      id: 'scaler',
      decode: decisionDecoder(codec, 'DataScaleDecision'),
      applier: {
        ...scale.applier,
        apply(decision, applied) {
          if (decision.body.service === service) wanted = decision.body.instances
          return scale.applier.apply(decision, applied)
        },
      },
    }),
  ]
  for (const follower of followers) await follower.start()
  return {
    status: () => followers.map((follower) => follower.status()),
    counts: () => counted.counts(),
    wanted: () => wanted,
    async settled(limitMs) {
      await Promise.all(followers.map((follower) => follower.caughtUpWith(limitMs)))
      await acks.flushed()
    },
    async stop() {
      for (const follower of followers) await follower.stop()
      await acks.close()
    },
  }
}

/** The same applier; counts how its decisions end. */
function countApplied(applier: DecisionApplier<DataShardBody>): {
  applier: DecisionApplier<DataShardBody>
  counts(): ReturnType<DataFollowers['counts']>
} {
  const counts = { applied: 0, refused: 0, lastRefusal: '' }
  return {
    counts: () => ({ ...counts }),
    applier: {
      ...applier,
      async apply(decision, applied) {
        try {
          const observed = await applier.apply(decision, applied)
          counts.applied++
          return observed
        } catch (error) {
          counts.refused++
          counts.lastRefusal = (error as Error).message
          throw error
        }
      },
    },
  }
}
