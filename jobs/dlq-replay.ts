import { Buffer } from 'node:buffer'
import type { DeadLetter } from '#schemas'
import { TOPICS } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { type Broker, ForestallError, type TransactionalProducer } from '#core/ports'
import { scanTopic } from './topic-reader.ts'

/** What to send again; topics with their prefix. */
export interface ReplayPlan {
  readonly broker: Broker
  readonly codec: RecordCodec
  /** Where the records came from and go to. */
  readonly topic: string
  readonly deadLetters: string
  /** Compacted: which records have been sent again. Created if missing. */
  readonly marks: string
  readonly wants: (letter: DeadLetter) => boolean
  /** Late records too: their windows have closed, so a topology that has gone on refuses them again. */
  readonly includeLate: boolean
  /** False: only counts. */
  readonly send: boolean
}

/** What was done. `letters` = replayed + all skipped. */
export interface ReplayCounts {
  readonly topic: string
  readonly letters: number
  replayed: number
  /** `not wanted`, `replayed before`, `refused twice` (by several topologies), `late`, `not whole`. */
  readonly skipped: Record<string, number>
}

/** A transaction is committed at this size: well below what a broker and this process hold with ease. */
const COMMIT_BYTES = 4 * 2 ** 20

/** Adapters keep at most this much of a value: one so long may be only the beginning. */
const KEPT_BYTES = 900_000

const markOf = (letter: DeadLetter, topic: string): string => `${topic}:${letter.partition}:${letter.offset}`

/** Partitions of the topic that letters go to. Throws NOT_FOUND or CONFIG_INVALID before anything is sent. */
async function targetPartitions(plan: ReplayPlan): Promise<number> {
  const { broker, topic, deadLetters, marks, send } = plan
  const isCompacted = TOPICS.some((t) => t.compacted && (topic === t.name || topic.endsWith(`.${t.name}`)))
  if (isCompacted) {
    throw new ForestallError(
      'CONFIG_INVALID',
      `${topic} is compacted: an old value would replace a newer one.`,
      {
        cure: 'Produce the present value at its source again.',
      },
    )
  }
  const admin = broker.admin()
  try {
    if (send) {
      await admin.ensureTopics([{ name: marks, partitions: 1, configs: { 'cleanup.policy': 'compact' } }])
    }
    const counts = await admin.partitions([topic, deadLetters])
    const target = counts.get(topic)
    if (target !== undefined && counts.has(deadLetters)) return target
    const missing = target === undefined ? topic : deadLetters
    throw new ForestallError('NOT_FOUND', `Topic ${missing} does not exist.`)
  } finally {
    await admin.close()
  }
}

async function readLetters(plan: ReplayPlan): Promise<DeadLetter[]> {
  const letters: DeadLetter[] = []
  await scanTopic(plan.broker, plan.deadLetters, async ({ buffer, valueStart, valueLength }) => {
    if (valueLength < 0) return
    const value = Buffer.from(buffer.subarray(valueStart, valueStart + valueLength))
    letters.push(await plan.codec.decodeAsync(value, 0, value.length, 'DeadLetter'))
  })
  return letters
}

async function readMarks({ broker, marks }: ReplayPlan): Promise<Set<string>> {
  const seen = new Set<string>()
  await scanTopic(broker, marks, ({ buffer, keyStart, keyLength }) => {
    if (keyLength >= 0) seen.add(buffer.toString('utf8', keyStart, keyStart + keyLength))
  })
  return seen
}

/** Why a letter is not sent; null if it is. */
function reasonToSkip(
  plan: ReplayPlan,
  letter: DeadLetter,
  before: ReadonlySet<string>,
  now: ReadonlySet<string>,
): string | null {
  const mark = markOf(letter, plan.topic)
  if (!plan.wants(letter)) return 'not wanted'
  if (before.has(mark)) return 'replayed before'
  if (now.has(mark)) return 'refused twice'
  if (letter.reason_code === 'RECORD_LATE' && !plan.includeLate) return 'late'
  const isCut = letter.reason_code === 'RECORD_TOO_LARGE' || (letter.value?.length ?? 0) >= KEPT_BYTES
  if (isCut) return 'not whole'
  return null
}

function resend(plan: ReplayPlan, producer: TransactionalProducer, letter: DeadLetter, target: number): void {
  const { topic, marks } = plan
  const from = Buffer.from(`${letter.partition}:${letter.offset}`)
  const header = ['forestall-replayed', from] as const
  producer.add(topic, letter.partition % target, letter.timestamp_ms, letter.key, letter.value, [header])
  producer.add(marks, 0, letter.at_ms, Buffer.from(markOf(letter, topic)), from)
}

/**
 * Sends dead letters to their topic again: original key, value and Kafka timestamp, to the original partition. The
 * record and the mark "sent again" commit in one transaction, and a second replay of the topic fences the first, so
 * that no letter is sent twice. Throws CONFIG_INVALID for a compacted topic, NOT_FOUND.
 */
export async function replayDeadLetters(plan: ReplayPlan): Promise<ReplayCounts> {
  const target = await targetPartitions(plan)
  const producer = plan.broker.transactionalProducer({ transactionalId: `${plan.deadLetters}-replay` })
  try {
    // Before the marks are read: what a replay under way has not committed by now never will be.
    if (plan.send) await producer.init()
    const before = await readMarks(plan)
    const letters = await readLetters(plan)
    const counts: ReplayCounts = { topic: plan.topic, letters: letters.length, replayed: 0, skipped: {} }
    const now = new Set<string>()
    for (const letter of letters) {
      const why = reasonToSkip(plan, letter, before, now)
      if (why !== null) {
        counts.skipped[why] = (counts.skipped[why] ?? 0) + 1
        continue
      }
      now.add(markOf(letter, plan.topic))
      counts.replayed++
      if (!plan.send) continue
      resend(plan, producer, letter, target)
      if (producer.pendingBytes >= COMMIT_BYTES) await producer.commit()
    }
    if (producer.dirty) await producer.commit()
    return counts
  } finally {
    await producer.close()
  }
}
