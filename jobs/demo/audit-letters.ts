import type { RecordCodec } from '#core/codec'
import { readTopic, type TopicSource } from '../topic-reader.ts'
import { WindowAccount } from './window-account.ts'

/** What lies in the dead letters of one topic. */
export interface LetterAccount {
  /** By code of the error catalogue; RECORD_LATE too. */
  readonly byCode: Record<string, number>
  /** The late ones by key and window: they are missing there, and accounted for here. */
  readonly late: WindowAccount
  /** Letters about a record that has one already. */
  duplicates: number
}

/** How the late records of a topic are counted. */
export interface LateRecords {
  readonly windowMs: number
  readonly read: (value: Buffer) => Promise<{ key: string; timeMs: number; bytes: number }>
}

/** Reads the dead letters of `base` (name without prefix). */
export async function auditLetters(
  broker: TopicSource,
  codec: RecordCodec,
  topicPrefix: string,
  base: string,
  lateRecords: LateRecords,
): Promise<LetterAccount> {
  const account: LetterAccount = {
    byCode: {},
    late: new WindowAccount(lateRecords.windowMs),
    duplicates: 0,
  }
  const seen = new Set<string>()
  await readTopic(broker, codec, `${topicPrefix}dlq.${base}`, 'DeadLetter', async (letter) => {
    const { topology, partition, offset, reason_code, value } = letter
    const id = `${topology}:${partition}:${offset}`
    if (seen.has(id)) {
      account.duplicates++
      return
    }
    seen.add(id)
    account.byCode[reason_code] = (account.byCode[reason_code] ?? 0) + 1
    if (reason_code !== 'RECORD_LATE' || value === null) return
    const { key, timeMs, bytes } = await lateRecords.read(value)
    account.late.add(account.late.keyId(key), timeMs, 1, bytes)
  })
  return account
}
