import type { OffsetLedger } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { partitionKey } from '#core/ports'
import { partitionCount, readTopic, type TopicSource } from '../topic-reader.ts'

/** What one source node says became of an input topic. */
export interface LedgerAccount {
  /** `topology/node`. */
  readonly node: string
  records: number
  accepted: number
  late: number
  deadLetters: number
  skipped: Record<string, number>
  /** Offsets that no commit accounts for. */
  gaps: number
  /** Offsets that two commits account for. */
  overlaps: number
  /** Commits whose parts do not add up to their records. */
  unbalanced: number
  /** First differences, in words. */
  readonly details: string[]
}

type Interval = [from: number, to: number]

const MOST_DETAILS = 5

/** The accounts of all source nodes that read `base` (name without prefix), checked against the offsets of the topic. */
export async function auditLedger(
  broker: TopicSource,
  codec: RecordCodec,
  topicPrefix: string,
  base: string,
): Promise<LedgerAccount[]> {
  const nodes = new Map<string, { account: LedgerAccount; partitions: Map<number, Interval[]> }>()
  await readTopic(broker, codec, `${topicPrefix}audit.offsets`, 'OffsetLedger', (entry) => {
    if (entry.topic !== base) return
    const name = `${entry.topology}/${entry.node}`
    const node = nodes.get(name) ?? { account: newAccount(name), partitions: new Map<number, Interval[]>() }
    nodes.set(name, node)
    addUp(node.account, entry)
    const intervals = node.partitions.get(entry.partition) ?? []
    node.partitions.set(entry.partition, intervals)
    const last = intervals.at(-1)
    // Commits follow one another: a day of them is one interval.
    if (last !== undefined && last[1] === entry.from_offset) last[1] = entry.to_offset
    else intervals.push([entry.from_offset, entry.to_offset])
  })
  const bounds = await boundsOf(broker, `${topicPrefix}${base}`)
  for (const { account, partitions } of nodes.values()) {
    for (const [partition, [start, end]] of bounds.entries()) {
      checkCover(account, `${base}:${partition}`, partitions.get(partition) ?? [], start, end)
    }
  }
  return [...nodes.values()].map(({ account }) => account)
}

const newAccount = (node: string): LedgerAccount => ({
  node,
  records: 0,
  accepted: 0,
  late: 0,
  deadLetters: 0,
  skipped: {},
  gaps: 0,
  overlaps: 0,
  unbalanced: 0,
  details: [],
})

function addUp(account: LedgerAccount, entry: OffsetLedger): void {
  account.records += entry.records
  account.accepted += entry.accepted
  account.late += entry.late
  account.deadLetters += entry.dead_letters
  let parts = entry.accepted + entry.late + entry.dead_letters
  for (const [reason, count] of Object.entries(entry.skipped)) {
    account.skipped[reason] = (account.skipped[reason] ?? 0) + count
    parts += count
  }
  if (parts === entry.records) return
  account.unbalanced++
  note(
    account,
    `${entry.topic}:${entry.partition} from ${entry.from_offset}: ${parts} of ${entry.records} records accounted for`,
  )
}

function note(account: LedgerAccount, text: string): void {
  if (account.details.length < MOST_DETAILS) account.details.push(`${account.node}: ${text}`)
}

/** First and next offset of each partition. */
async function boundsOf(broker: TopicSource, topic: string): Promise<Interval[]> {
  const partitions = Array.from({ length: await partitionCount(broker, topic) }, (_, partition) => ({
    topic,
    partition,
  }))
  const admin = broker.admin()
  try {
    const starts = await admin.offsets(partitions, 'earliest')
    const ends = await admin.offsets(partitions, 'stable')
    return partitions.map((p) => {
      const key = partitionKey(p.topic, p.partition)
      return [starts.get(key) ?? 0, ends.get(key) ?? 0]
    })
  } finally {
    await admin.close()
  }
}

/** Counts what intervals leave open or cover twice between `start` and `end`. */
function checkCover(
  account: LedgerAccount,
  partition: string,
  intervals: readonly Interval[],
  start: number,
  end: number,
): void {
  let at = start
  for (const [from, to] of intervals.toSorted((a, b) => a[0] - b[0])) {
    if (from > at) gap(at, from)
    // Commits from before retention removed their records overlap nothing.
    if (from < at && to > start) {
      const twice = Math.min(at, to) - Math.max(from, start)
      if (twice > 0) {
        account.overlaps += twice
        note(
          account,
          `${partition} offsets ${Math.max(from, start)}..${Math.min(at, to)} accounted for twice`,
        )
      }
    }
    at = Math.max(at, to)
  }
  if (end > at) gap(at, end)

  function gap(from: number, to: number): void {
    account.gaps += to - from
    note(account, `${partition} offsets ${from}..${to} accounted for by no commit`)
  }
}
