import { Buffer } from 'node:buffer'
import type { OffsetLedger } from '../../../schemas/index.ts'
import type { TaskContext } from './task.ts'

const LEDGER_TOPIC = 'audit.offsets'

/** The account of one source partition between two commits: what became of every record. */
export class Account {
  fromOffset: number
  records = 0
  accepted = 0
  late = 0
  deadLetters = 0
  skipped: Record<string, number> = {}

  constructor(fromOffset: number) {
    this.fromOffset = fromOffset
  }

  /** Counts a skipped record. */
  skip(reason: string): void {
    this.skipped[reason] = (this.skipped[reason] ?? 0) + 1
  }

  /** The ledger entry up to `toOffset`; the account starts again from there. */
  close(
    entry: Pick<
      OffsetLedger,
      'topology' | 'node' | 'topic' | 'partition' | 'to_offset' | 'watermark_ms' | 'at_ms'
    >,
  ): OffsetLedger {
    const closed: OffsetLedger = {
      ...entry,
      from_offset: this.fromOffset,
      records: this.records,
      accepted: this.accepted,
      late: this.late,
      dead_letters: this.deadLetters,
      skipped: this.skipped,
    }
    this.fromOffset = entry.to_offset
    this.records = this.accepted = this.late = this.deadLetters = 0
    this.skipped = {}
    return closed
  }
}

/** Writes the entry of a task into the ledger. */
export function writeLedger(context: TaskContext, task: string, entry: OffsetLedger): void {
  const value = context.encoder.encode(LEDGER_TOPIC, 'OffsetLedger', entry)
  context.out.emit(context.topicName(LEDGER_TOPIC), 0, entry.at_ms, Buffer.from(task), value)
}
