import type { ShardBody } from '#schemas'
import { type DecisionApplier, ForestallError } from '#core/ports'

/** The shards that a data plane has been told of. */
export interface ShardNotes {
  readonly applier: DecisionApplier<ShardBody>
  /** Null: the stream is not cut. */
  shardsOf(stream: string): ShardBody | null
  /** Number of shards of all streams. */
  count(): number
}

/** Deepest shard: one flow. */
const FLOW_DEPTH = 32

/** Notes of placement decisions: key = stream. Routes name the shards; these say how the ring is cut. */
export function createShardNotes(): ShardNotes {
  const notes = new Map<string, ShardBody>()
  return {
    applier: {
      apply: ({ entity, body }) =>
        new Promise((resolve) => {
          check(entity, body)
          notes.set(entity, body)
          resolve({
            shards: String(body.shards.length),
            critical: String(body.shards.filter((s) => s.critical).length),
            largest_share: Math.max(0, ...body.shards.map((s) => s.share)).toFixed(6),
          })
        }),
      revert: (entity) => {
        notes.delete(entity)
        return Promise.resolve()
      },
      preview: ({ entity, body }) =>
        new Promise((resolve) => {
          check(entity, body)
          resolve({ shards: String(body.shards.length) })
        }),
    },
    shardsOf: (stream) => notes.get(stream) ?? null,
    count: () => [...notes.values()].reduce((sum, { shards }) => sum + shards.length, 0),
  }
}

function check(entity: string, body: ShardBody): void {
  const refuse = (what: string): ForestallError =>
    new ForestallError('DATA_PLANE_REFUSED', `shards of ${entity}: ${what}`)
  if (body.stream !== entity) throw refuse(`the decision holds shards of ${body.stream}`)
  for (const { shard_id, depth, prefix } of body.shards) {
    const isDepth = Number.isInteger(depth) && depth >= 0 && depth <= FLOW_DEPTH
    if (!isDepth || !(Number.isInteger(prefix) && prefix >= 0 && prefix < 2 ** depth))
      throw refuse(`shard ${shard_id} has depth ${depth} and prefix ${prefix}`)
  }
}
