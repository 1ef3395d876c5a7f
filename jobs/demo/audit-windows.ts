import type { Warehouse } from '#core/ports'
import { WindowAccount } from './window-account.ts'

/** How windows found differ from those that must be there. */
export interface WindowDifferences {
  /** Records that no window has. */
  lost: number
  /** Records counted more than once, and windows reported more than once. */
  duplicated: number
  /** Windows with the right number of records and other bytes, or that nothing was sent for. */
  wrong: number
  /** Windows with at least one record that were compared. */
  windows: number
  readonly details: string[]
}

/** What is compared. */
export interface WindowComparison {
  /** Where `found` was read, in words. */
  readonly where: string
  readonly expected: WindowAccount
  /** Records that came too late and were counted as such. */
  readonly late: WindowAccount
  readonly found: WindowAccount
  /** Largest relative difference of bytes (sums of doubles depend on their order). Default 1e-9. */
  readonly tolerance?: number
  /** Default 10. */
  readonly mostDetails?: number
}

/** Compares window by window; memory does not grow with the differences. */
export function compareWindows(comparison: WindowComparison): WindowDifferences {
  const { where, expected, late, found, tolerance = 1e-9, mostDetails = 10 } = comparison
  const result: WindowDifferences = { lost: 0, duplicated: 0, wrong: 0, windows: 0, details: [] }
  const note = (key: string, startMs: number, what: string): void => {
    if (result.details.length < mostDetails)
      result.details.push(`${where}: ${key} at ${new Date(startMs).toISOString()}: ${what}`)
  }
  expected.forEach((key, startMs, sent) => {
    const tooLate = late.get(key, startMs)
    const records = sent.records - tooLate.records
    const bytes = sent.bytes - tooLate.bytes
    const there = found.get(key, startMs)
    if (records === 0 && there.rows === 0) return
    result.windows++
    if (there.rows > 1) {
      result.duplicated += there.rows - 1
      return note(key, startMs, `${there.rows} rows for one window`)
    }
    if (there.records < records) {
      result.lost += records - there.records
      return note(key, startMs, `${there.records} of ${records} records`)
    }
    if (there.records > records) {
      result.duplicated += there.records - records
      return note(key, startMs, `${there.records} records, ${records} were sent`)
    }
    if (Math.abs(there.bytes - bytes) <= tolerance * Math.max(1, bytes)) return
    result.wrong++
    note(key, startMs, `${there.bytes} bytes, ${bytes} were sent`)
  })
  found.forEach((key, startMs, there) => {
    if (expected.get(key, startMs).rows > 0) return
    result.wrong++
    note(key, startMs, `${there.records} records in a window that nothing was sent for`)
  })
  return result
}

/** Where windows are in the warehouse. */
export interface WindowTable {
  readonly table: string
  readonly key: string
  /** Expression for the bytes of a row. */
  readonly bytes: string
}

/** Windows of one length in a table, one row per key and window (FINAL), asked for key by key. */
export async function readWarehouse(
  warehouse: Warehouse,
  { table, key, bytes }: WindowTable,
  windowMs: number,
): Promise<WindowAccount> {
  const account = new WindowAccount(windowMs)
  const keys = await warehouse.query<{ name: string }>(
    `SELECT DISTINCT ${key} AS name FROM ${table} ORDER BY name`,
  )
  for (const { name } of keys) {
    const rows = await warehouse.query<{ at: number; records: number; bytes: number; n: number }>(
      `SELECT toUnixTimestamp64Milli(window_start_ms) AS at, sum(records) AS records, sum(${bytes}) AS bytes, count() AS n
       FROM ${table} FINAL
       WHERE ${key} = {name:String}
         AND toUnixTimestamp64Milli(window_end_ms) - toUnixTimestamp64Milli(window_start_ms) = {windowMs:Int64}
       GROUP BY at ORDER BY at`,
      { name, windowMs },
    )
    const id = account.keyId(name)
    for (const row of rows) account.add(id, row.at, row.records, row.bytes, row.n)
  }
  return account
}
