import { partitionKey } from '#core/ports'
import type { TopicPartition } from '#core/ports'
import type { Subscription } from './group-protocol.ts'

/** A member as the leader of the group sees it. */
export interface GroupMember extends Subscription {
  readonly memberId: string
  readonly groupInstanceId: string | null
}

/** How partitions are dealt: see `GroupReaderOptions.assignment`. */
export type AssignmentKind = 'aligned' | 'single'

/** Partitions that go to one member together: partition p of every topic, or everything. */
type Unit = readonly TopicPartition[]

const nameOf = (m: GroupMember): string => m.groupInstanceId ?? m.memberId
const byName = (a: GroupMember, b: GroupMember): number => (nameOf(a) < nameOf(b) ? -1 : 1)

/**
 * Deals the partitions of all topics. Whoever holds something keeps it as far as fairness (shares differ by one at
 * most) allows. What has to move is held back while its holder still works on it: it is given away in the rebalance
 * that follows, once the holder has let go (cooperative rebalancing, KIP-429). A claim counts if no other member
 * claims the partition in a later generation (KIP-792). Returns the partitions by member id.
 */
export function assignPartitions(
  kind: AssignmentKind,
  members: readonly GroupMember[],
  partitionsOf: (topic: string) => number,
): Map<string, TopicPartition[]> {
  const result = new Map<string, TopicPartition[]>(members.map((m) => [m.memberId, []]))
  const claims = claimsOf(members)
  for (const { takers, topics } of clusters(members)) {
    const dealt = deal(unitsOf(kind, topics, partitionsOf), takers, claims)
    for (const [memberId, partitions] of dealt) result.get(memberId)?.push(...partitions)
  }
  return result
}

/** Who holds a partition, by `topic:partition`; several members if their claims are equally good. */
function claimsOf(members: readonly GroupMember[]): Map<string, Set<string>> {
  const claims = new Map<string, { generationId: number; holders: Set<string> }>()
  for (const { memberId, owned, generationId } of members) {
    for (const { topic, partition } of owned) {
      const key = partitionKey(topic, partition)
      const known = claims.get(key)
      if (known === undefined || known.generationId < generationId)
        claims.set(key, { generationId, holders: new Set([memberId]) })
      else if (known.generationId === generationId) known.holders.add(memberId)
    }
  }
  return new Map([...claims].map(([key, { holders }]) => [key, holders]))
}

/** Topics with the same subscribers are dealt together. */
function clusters(members: readonly GroupMember[]): { takers: GroupMember[]; topics: string[] }[] {
  const found = new Map<string, { takers: GroupMember[]; topics: string[] }>()
  const sorted = [...members].sort(byName)
  for (const topic of [...new Set(members.flatMap((m) => m.topics))].sort()) {
    const takers = sorted.filter((m) => m.topics.includes(topic))
    const key = takers.map((m) => m.memberId).join()
    const cluster = found.get(key)
    if (cluster === undefined) found.set(key, { takers, topics: [topic] })
    else cluster.topics.push(topic)
  }
  return [...found.values()]
}

function unitsOf(
  kind: AssignmentKind,
  topics: readonly string[],
  partitionsOf: (topic: string) => number,
): Unit[] {
  const all = topics.flatMap((topic) =>
    Array.from({ length: partitionsOf(topic) }, (_, partition) => ({ topic, partition })),
  )
  if (kind === 'single') return [all]
  const units = Map.groupBy(all, (p) => p.partition)
  return [...units].sort(([a], [b]) => a - b).map(([, unit]) => unit)
}

function deal(
  units: readonly Unit[],
  takers: readonly GroupMember[],
  claims: ReadonlyMap<string, ReadonlySet<string>>,
): Map<string, TopicPartition[]> {
  const holders = ({ topic, partition }: TopicPartition) => claims.get(partitionKey(topic, partition))
  const target = balance(units, takers, (unit, memberId) => unit.some((p) => holders(p)?.has(memberId)))
  const free = (unit: Unit, memberId: string) =>
    unit.every((p) => [...(holders(p) ?? [])].every((holder) => holder === memberId))
  return new Map(
    [...target].map(([memberId, own]) => [memberId, own.filter((unit) => free(unit, memberId)).flat()]),
  )
}

/** Shares that differ by one at most and keep what is held; the rest goes round in the order of the names. */
function balance(
  units: readonly Unit[],
  takers: readonly GroupMember[],
  holds: (unit: Unit, memberId: string) => boolean,
): Map<string, Unit[]> {
  const least = Math.floor(units.length / takers.length)
  let larger = units.length % takers.length
  const rest = new Set(units)
  const shares = new Map<string, Unit[]>()
  const held = new Map(takers.map((m) => [m.memberId, units.filter((unit) => holds(unit, m.memberId))]))
  const most = (m: GroupMember) => held.get(m.memberId)?.length ?? 0
  for (const taker of [...takers].sort((a, b) => most(b) - most(a) || byName(a, b))) {
    const own = (held.get(taker.memberId) ?? []).filter((unit) => rest.has(unit))
    const share = own.length > least && larger > 0 ? least + 1 : least
    if (own.length > least && larger > 0) larger--
    const kept = own.slice(0, share)
    for (const unit of kept) rest.delete(unit)
    shares.set(taker.memberId, kept)
  }
  for (const unit of rest) {
    const [taker] = [...takers].sort((a, b) => sizeOf(a) - sizeOf(b) || byName(a, b))
    if (taker !== undefined) shares.get(taker.memberId)?.push(unit)
  }
  return shares

  function sizeOf(m: GroupMember): number {
    return shares.get(m.memberId)?.length ?? 0
  }
}
