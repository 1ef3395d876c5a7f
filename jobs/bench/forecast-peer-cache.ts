import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { PeerRow } from './forecast-peer.ts'

/** Rows of other models that were measured before, so that a long run of them is needed once. */
export interface PeerCache {
  /** The row of a run with the same input; one that did not finish only if it had at least `limitS` processor seconds. */
  find(key: string, limitS: number): PeerRow | undefined
  keep(key: string, limitS: number, row: PeerRow): void
}

interface Kept {
  readonly limitS: number
  readonly row: Omit<PeerRow, 'mase' | 'median' | 'coverage95' | 'msis' | 'secondsPer1000'> &
    Readonly<Record<'mase' | 'median' | 'coverage95' | 'msis' | 'secondsPer1000', number | null>>
}

/** What makes two runs the same: every byte that goes into them. */
export function peerKey(...parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(createHash('sha256').update(part).digest())
  return hash.digest('hex').slice(0, 32)
}

/** Rows as files of a folder, one each; unreadable ones count as absent. */
export function peerCache(folder: string): PeerCache {
  const pathOf = (key: string) => join(folder, `${key}.json`)
  return {
    find: (key, limitS) => {
      const kept = readKept(pathOf(key))
      if (!kept) return undefined
      const isUseful = kept.row.windows > 0 || kept.limitS >= limitS
      return isUseful ? asRow(kept) : undefined
    },
    keep: (key, limitS, row) => {
      mkdirSync(folder, { recursive: true })
      const path = pathOf(key)
      // Renamed, so that a kill leaves no half of a file.
      writeFileSync(`${path}.new`, `${JSON.stringify({ limitS, row })}\n`)
      renameSync(`${path}.new`, path)
    },
  }
}

function readKept(path: string): Kept | undefined {
  if (!existsSync(path)) return undefined
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Kept
  } catch {
    return undefined
  }
}

/** JSON has no NaN: null stands for it. */
function asRow({ row }: Kept): PeerRow {
  return {
    ...row,
    mase: row.mase ?? Number.NaN,
    median: row.median ?? Number.NaN,
    coverage95: row.coverage95 ?? Number.NaN,
    msis: row.msis ?? Number.NaN,
    secondsPer1000: row.secondsPer1000 ?? Number.NaN,
  }
}
