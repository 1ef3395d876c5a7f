import { type AppliedState, type Broker, type Clock, ForestallError, type ReplicaStore } from '#core/ports'
import { replicaOrder } from '../router/index.ts'
import { type LogLayout, partitionOfSegment } from './blocks.ts'
import { takeoverVersion } from './versions.ts'

/** What deciding where a replica begins takes. */
export interface FirstStatesOptions {
  readonly broker: Broker
  readonly topic: string
  readonly layout: LogLayout
  readonly clock: Clock
  /** Replicas of each segment where nothing is stored yet. */
  readonly replicas: number
  /** The replica that begins. */
  readonly store: ReplicaStore
  /** The other replicas of the service. */
  readonly others: readonly Pick<ReplicaStore, 'loadApplied'>[]
  /** Its place among all of them; negative if it has none. */
  readonly place: number
  /** Puts a mark into all partitions of the log at once; gives the offset behind it, by partition. */
  readonly markLog: () => Promise<ReadonlyMap<number, number>>
}

/**
 * Stores where a replica begins that has stored nothing: with its share, as far as too few others hold it, at the
 * beginning of the log, and so does whoever is there when a service begins; with nothing, at one and the same point of
 * all partitions: a statement lies before it in all of them or behind it, or nobody would ever run it. A replica that
 * has begun is left as it is. Throws OFFSET_OUT_OF_RANGE if the log has lost its beginning.
 */
export async function storeFirstStates(options: FirstStatesOptions): Promise<void> {
  const { store, topic, layout, clock } = options
  const stored = await store.loadApplied(topic)
  // Whatever is not whole was never begun with.
  if (stored.length >= layout.partitions) return
  const standing = stored.reduce((most, state) => Math.max(most, state.version), 0)
  const version = takeoverVersion(standing, clock.nowMs())
  for (const state of await firstStates(options)) await store.saveApplied(topic, { ...state, version })
}

async function firstStates(options: FirstStatesOptions): Promise<Omit<AppliedState, 'version'>[]> {
  const { topic, layout, replicas, others, place } = options
  const states = (await Promise.all(others.map((store) => store.loadApplied(topic)))).flat()
  const holders = new Map<number, number>()
  for (const segment of states.flatMap((s) => [...s.segments, ...s.joining.map((j) => j.segment)]))
    holders.set(segment, (holders.get(segment) ?? 0) + 1)
  const order = replicaOrder(layout.segments, others.length + 1, replicas)
  const segments = order.flatMap((at, segment) =>
    at.includes(place) && (holders.get(segment) ?? 0) < replicas ? [segment] : [],
  )
  const isFirst = states.every(({ next }) => next === 0)
  const starts = isFirst || segments.length > 0 ? await beginning(options) : await options.markLog()
  return Array.from({ length: layout.partitions }, (_, partition) => ({
    partition,
    next: starts.get(partition) ?? 0,
    segments: segments.filter((s) => partitionOfSegment(s, layout.partitions) === partition),
    joining: [],
  }))
}

/** The beginning of every partition. Throws OFFSET_OUT_OF_RANGE if the log has lost it. */
async function beginning({
  broker,
  topic,
  layout,
}: FirstStatesOptions): Promise<ReadonlyMap<number, number>> {
  const admin = broker.admin()
  try {
    const all = Array.from({ length: layout.partitions }, (_, partition) => ({ topic, partition }))
    const lost = [...(await admin.offsets(all, 'earliest'))].find(([, offset]) => offset > 0)
    if (lost === undefined) return new Map()
    throw new ForestallError(
      'OFFSET_OUT_OF_RANGE',
      `${lost[0]} no longer begins at its beginning: a replica cannot be filled from it.`,
      { cure: 'Add the instance while the router runs, and let moves copy segments to it.' },
    )
  } finally {
    await admin.close()
  }
}
