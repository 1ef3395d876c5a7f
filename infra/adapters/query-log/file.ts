import type { RecordCodec } from '#core/codec'
import type { Broker } from '#core/ports'
import { readRows } from '../tabular/rows.ts'
import { openQueryLogOutput, type QueryLogCounters } from './output.ts'
import { DEFAULT_RULES, type LogRow, type QueryRule } from './rules.ts'

/** Settings of an import. */
export interface QueryLogFileOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  /** `.jsonl`, `.ndjson` or `.csv`, with `.gz` or without. */
  readonly path: string
  /** Stable name of the file: an import that is repeated goes on behind the last line that counted. */
  readonly source: string
  readonly rules?: readonly QueryRule[]
  readonly prefix?: string
  /** Rows of one transaction. Default 5,000. */
  readonly pageRows?: number
  nowMs(): number
  onProgress?(counters: QueryLogCounters): void
  /** Told if an earlier import of the source has taken the lines up to this one. */
  onResume?(line: number): void
}

const PAGE_ROWS = 5000

/**
 * Copies a log that is a file to `logs.queries`, each line once, also if it is repeated after a failure.
 * Memory does not grow with the file. Throws RECORD_INVALID with the line that cannot be read, NOT_FOUND without topics.
 */
export async function importQueryLogFile(options: QueryLogFileOptions): Promise<QueryLogCounters> {
  const { path, rules = DEFAULT_RULES, prefix = '', pageRows = PAGE_ROWS } = options
  const output = await openQueryLogOutput({ ...options, rules, prefix })
  try {
    const done = Number((await output.cursor()).atUs)
    if (done > 0) options.onResume?.(done)
    let page: LogRow[] = []
    let last = done
    const write = async (): Promise<void> => {
      if (page.length === 0) return
      // The place in a file is a line.
      await output.write(page, { atUs: String(last), queryId: '' }, options.nowMs())
      page = []
      options.onProgress?.(output.counters())
    }
    for await (const { row, line } of readRows(path)) {
      if (line <= done) continue
      page.push(row)
      last = line
      if (page.length >= pageRows) await write()
    }
    await write()
    return output.counters()
  } finally {
    await output.close()
  }
}
