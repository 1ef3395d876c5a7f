import type { Shard } from '#schemas'
import type { LinearModel, LinearSolver } from '#core/ports'
import { createMluProgram, floorDemand } from './lp-mlu.ts'
import { maxUtilisation, type Network } from './network.ts'
import { ancestorPrefix, carryPlacement, type SizeShardsInput, sizeShards } from './shards/index.ts'

/** What must be 0. */
export interface PropertyCounts {
  /** Shards larger at a higher risk, shards not within one of a lower risk, and cuts that do not cover the ring once. */
  readonly violations: number
  /** Shards whose place would change when only the risk rises. */
  readonly movedByRisk: number
}

const heaviest = (shards: readonly Shard[]): number =>
  shards.reduce((max, shard) => Math.max(max, shard.share), 0)

const coversOnce = (shards: readonly Shard[]): boolean =>
  shards.reduce((at, { depth, prefix }) => (prefix / 2 ** depth === at ? at + 2 ** -depth : NaN), 0) === 1

/** Every stream at the risks 0, 0.1 .. 1, each cut from the ring anew and on top of the shards that stand. */
export function checkProperties(streams: readonly SizeShardsInput[]): PropertyCounts {
  let violations = 0
  let movedByRisk = 0
  for (const stream of streams) {
    let before: Shard[] | undefined
    for (let tenths = 0; tenths <= 10; tenths++) {
      const risk = tenths / 10
      const after = sizeShards({ ...stream, risk })
      if (!coversOnce(after)) violations++
      if (before !== undefined) {
        if (heaviest(after) > heaviest(before) + 1e-15) violations++
        violations += after.filter((shard) => container(shard, before!) === undefined).length
        movedByRisk += movedOnRise(before, sizeShards({ ...stream, risk, standing: before }))
      }
      before = after
    }
  }
  return { violations, movedByRisk }
}

function container(shard: Shard, among: readonly Shard[]): Shard | undefined {
  return among.find(
    ({ depth, prefix }) =>
      depth <= shard.depth && ancestorPrefix(shard.prefix, shard.depth, depth) === prefix,
  )
}

/** Every standing shard on a path of its own: a shard whose place is not that of the shard around it has moved. */
function movedOnRise(before: readonly Shard[], after: readonly Shard[]): number {
  const standing = before.map(({ depth, prefix, shard_id: path }) => ({ depth, prefix, path }))
  const places = carryPlacement(standing, after)
  return after.filter((shard, i) => places[i] !== container(shard, before)?.shard_id).length
}

/**
 * What it costs when no path may hold more than half of the ring of a critical stream that has at least 3 candidates:
 * MLU of the plan under these bounds / `best`, per demand.
 */
export function spreadRatios(
  network: Network,
  demands: readonly Float64Array[],
  best: Float64Array,
  isCritical: (stream: number) => boolean,
  solver: LinearSolver,
): number[] {
  const models: LinearModel[] = []
  const program = createMluProgram(network, {
    model: (linear) => {
      const model = solver.model(linear)
      models.push(model)
      return model
    },
  })
  const bounded = network.pairOf.map((k) =>
    isCritical(k) && network.firstPath[k + 1]! - network.firstPath[k]! >= 3 ? 1 : 0,
  )
  const ratios = demands.map((demand, j) => {
    const floored = floorDemand(demand)
    const total = floored.reduce((sum, d) => sum + d, 0)
    const upper = Float64Array.from(bounded, (bound, p) =>
      bound === 1 ? (500 * floored[network.pairOf[p]!]!) / total : Infinity,
    )
    for (const model of models) model.setColumnBounds(0, new Float64Array(network.paths), upper)
    return maxUtilisation(network, program.plan(demand), demand) / best[j]!
  })
  program.dispose()
  return ratios
}
