import type { DataMove, DataReplica, DataShardBody } from '#schemas'
import { Flow, type Layout, type Routing, type Strength } from './placement/index.ts'

/** What a body says of a segment, beside where it lies. */
export interface SegmentLoad {
  readonly q50: number
  readonly q90: number
}

const serves = (replica: DataReplica) => replica.state !== 'draining'

/** The instances on which a segment is to be, by a body. */
export const wantedInstances = (body: DataShardBody): string[] =>
  body.replicas.filter(serves).map(({ instance }) => instance)

/** Share of a segment's reads that the forecast sends to each instance; by strength where none are expected. */
export function readShares(
  work: Float64Array,
  layout: Layout,
  routing: Routing,
  strength: Strength,
): Float64Array {
  const flow = new Flow(layout.segments, layout.instances)
  flow.route(work, layout, routing, strength)
  return flow.shares.map((share, at) => {
    const s = Math.floor(at / layout.instances)
    if (layout.has[at] === 0) return 0
    if (work[s]! > 0) return share / work[s]!
    const held = flow.held(layout, s)
    return held > 0 ? strength.values[at % layout.instances]! / held : 1 / layout.count[s]!
  })
}

/** Pairs what is added with what is dropped: a pair is a move, what is left over a copy or a drop. */
function movesOf(
  id: string,
  added: readonly string[],
  dropped: readonly string[],
  source: string,
  epoch: number,
) {
  const moves: DataMove[] = []
  const name = (from: string, to: string) => `${id}/${from}-${to}/${epoch}`
  added.forEach((to, k) => {
    const from = dropped[k]
    if (from === undefined) moves.push({ move_id: name(source, to), kind: 'copy', from: source, to })
    else moves.push({ move_id: name(from, to), kind: 'move', from, to })
  })
  for (const from of dropped.slice(added.length))
    moves.push({ move_id: name(from, ''), kind: 'drop', from, to: '' })
  return moves
}

/** What the body of a segment is made from. */
export interface BodyInput {
  readonly service: string
  /** `service/017`. */
  readonly id: string
  readonly segment: number
  readonly segments: number
  /** Instances on which it is to be, and the share of reads of each. */
  readonly wanted: readonly { readonly instance: string; readonly weight: number }[]
  readonly standing: DataShardBody | undefined
  readonly load: SegmentLoad
  /** Dates the moves. */
  readonly epoch: number
}

/**
 * The next body of a segment. A replica that is new is warming for one decision, while those it replaces are draining;
 * the next decision has it serving. The first body of a segment says where it lies and moves nothing.
 */
export function nextBody(input: BodyInput): DataShardBody {
  const { standing, wanted, id } = input
  const before = standing === undefined ? [] : wantedInstances(standing)
  const known = new Set(before)
  const names = new Set(wanted.map(({ instance }) => instance))
  const added = standing === undefined ? [] : [...names].filter((instance) => !known.has(instance))
  const dropped = before.filter((instance) => !names.has(instance))
  const isNew = new Set(added)
  const replicas: DataReplica[] = wanted.map(({ instance, weight }) => ({
    instance,
    state: isNew.has(instance) ? 'warming' : 'serving',
    weight,
  }))
  if (added.length > 0)
    for (const instance of dropped) replicas.push({ instance, state: 'draining', weight: 0 })
  const source = before.find((instance) => names.has(instance)) ?? before[0] ?? ''
  return {
    service: input.service,
    segment: input.segment,
    segments: input.segments,
    replicas: replicas.sort((a, b) => (a.instance < b.instance ? -1 : 1)),
    moves: movesOf(id, added, dropped, source, input.epoch),
    load_q50: input.load.q50,
    load_q90: input.load.q90,
  }
}

/** True if two bodies put the segment on the same instances in the same states: weights alone are no change. */
export const samePlacement = (a: DataShardBody, b: DataShardBody): boolean =>
  a.replicas.length === b.replicas.length &&
  a.replicas.every(
    ({ instance, state }, k) => b.replicas[k]?.instance === instance && b.replicas[k]?.state === state,
  )
