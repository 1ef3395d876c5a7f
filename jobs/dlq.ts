import { topicName } from '#schemas'
import type { Warehouse } from '#core/ports'
import { type CommonArgs, replayPrefix } from './args.ts'
import { findConnections, findReplay, openBroker, openCodec, openRows } from './connect.ts'
import { type ReplayCounts, replayDeadLetters } from './dlq-replay.ts'
import type { ExitCode } from './errors-exit.ts'

/** `forestall dlq list`. */
export interface DlqListArgs extends CommonArgs {
  /** Topic that the records came from, without prefix. */
  readonly topic?: string
  readonly limit: number
  /** Of a replay; '' is live. */
  readonly replayId: string
  readonly dataDir: string
}

/** `forestall dlq replay`. */
export interface DlqReplayArgs extends CommonArgs {
  readonly topic: string
  /** Only those refused at or after, ms since 1970. */
  readonly sinceMs?: number
  /** Only these codes. */
  readonly codes: readonly string[]
  readonly includeLate: boolean
  /** False: says what would be sent. */
  readonly yes: boolean
  /** Of a replay; '' is live. */
  readonly replayId: string
  readonly dataDir: string
}

/** A row of the list; times in ms, the beginning of the value as text. */
export interface DeadLetterRow {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly at_ms: number
  readonly reason_code: string
  readonly reason: string
  readonly topology: string
  readonly value_bytes: number
}

const LIST = `
SELECT topic, partition, offset, toUnixTimestamp64Milli(d.at_ms) AS at_ms, reason_code, reason, topology,
  ifNull(length(value), 0) AS value_bytes
FROM dead_letters AS d FINAL
WHERE {topic:String} = '' OR topic = {topic:String}
ORDER BY d.at_ms DESC, topic, partition, offset
LIMIT {limit:UInt32}`

const COUNTS = `
SELECT topic, reason_code, count() AS letters
FROM dead_letters FINAL
WHERE {topic:String} = '' OR topic = {topic:String}
GROUP BY topic, reason_code
ORDER BY topic, reason_code`

/** Newest first, and how many there are by topic and code. */
export async function listDeadLetters(warehouse: Warehouse, topic: string, limit: number) {
  const [letters, counts] = await Promise.all([
    warehouse.query<DeadLetterRow>(LIST, { topic, limit }),
    warehouse.query<{ topic: string; reason_code: string; letters: number }>(COUNTS, { topic }),
  ])
  return { letters, counts }
}

/** `forestall dlq list`. */
export async function runDlqList(args: DlqListArgs): Promise<ExitCode> {
  const found = findConnections(args.dataDir)
  const warehouse = await openRows(found, replayPrefix(await findReplay(found, args.replayId)))
  try {
    const { letters, counts } = await listDeadLetters(warehouse, args.topic ?? '', args.limit)
    if (args.json) process.stdout.write(`${JSON.stringify({ counts, letters })}\n`)
    else {
      for (const c of counts) process.stdout.write(`${c.topic}  ${c.reason_code}  ${c.letters}\n`)
      if (counts.length === 0) process.stdout.write('no dead letters\n')
      for (const l of letters) {
        const at = new Date(l.at_ms).toISOString()
        const where = `${l.topic} partition ${l.partition} offset ${l.offset}`
        process.stdout.write(
          `${at}  ${where}  ${l.reason_code}: ${l.reason} (${l.value_bytes} B, ${l.topology})\n`,
        )
      }
    }
    return 0
  } finally {
    await warehouse.close()
  }
}

function summary(counts: ReplayCounts, yes: boolean): string {
  const skipped = Object.entries(counts.skipped).map(([why, n]) => `${n} ${why}`)
  return [
    `${counts.letters} dead letters of ${counts.topic}`,
    `${counts.replayed} ${yes ? 'sent again' : 'would be sent again: add --yes'}`,
    ...(skipped.length === 0 ? [] : [`left out: ${skipped.join(', ')}`]),
  ].join('\n')
}

/** `forestall dlq replay`: sends the original bytes to the original topic again, each once. */
export async function runDlqReplay(args: DlqReplayArgs): Promise<ExitCode> {
  const found = findConnections(args.dataDir)
  const prefix = replayPrefix(await findReplay(found, args.replayId))
  const codec = await openCodec(found)
  const broker = await openBroker(found, 'forestall-dlq')
  try {
    const counts = await replayDeadLetters({
      broker,
      codec,
      topic: topicName(args.topic, prefix),
      deadLetters: topicName(`dlq.${args.topic}`, prefix),
      marks: topicName('replays.dlq', prefix),
      wants: (letter) =>
        letter.at_ms >= (args.sinceMs ?? 0) &&
        (args.codes.length === 0 || args.codes.includes(letter.reason_code)),
      includeLate: args.includeLate,
      send: args.yes,
    })
    process.stdout.write(`${args.json ? JSON.stringify(counts) : summary(counts, args.yes)}\n`)
    return 0
  } finally {
    await broker.close()
  }
}
