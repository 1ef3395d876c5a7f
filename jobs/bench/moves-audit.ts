import { segmentOf } from '../../pipelines/data-sharding/placement/index.ts'
import type { MovesDriver } from './moves-driver.ts'
import type { KillableInstance } from './moves-instances.ts'

/** What is missing or too much in the end. */
export interface Audit {
  readonly lost: number
  readonly duplicated: number
  /** Rows of segments at instances that do not answer their reads. */
  readonly leftOver: number
  readonly details: readonly string[]
}

const WITHIN_MS = 60_000

/**
 * Compares every instance with what was acknowledged, key by key, once all of them have applied the whole log: an
 * instance that answers reads of a segment has each of its rows once, another has none.
 */
export async function auditRows(
  driver: MovesDriver,
  instances: readonly KillableInstance[],
  written: ReadonlyMap<string, number>,
  segments: number,
): Promise<Audit> {
  const readers = await settled(driver)
  let [lost, duplicated, leftOver] = [0, 0, 0]
  const details: string[] = []
  for (const { name, url } of instances) {
    const body = 'SELECT k, count(), uniqExact(n) FROM orders GROUP BY k FORMAT TSV'
    const text = await (await fetch(url, { method: 'POST', body })).text()
    const rows = new Map(
      text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => {
          const [key = '', count, distinct] = line.split('\t')
          return [key, { count: Number(count), distinct: Number(distinct) }] as const
        }),
    )
    for (const [key, want] of written) {
      const { count, distinct } = rows.get(key) ?? { count: 0, distinct: 0 }
      if (!readers[segmentOf(key, segments)]?.includes(name)) {
        leftOver += count
        continue
      }
      lost += Math.max(0, want - distinct)
      // A row that nobody has acknowledged would be one too many as well: every insert was repeated until it was.
      duplicated += count - distinct + Math.max(0, distinct - want)
      if ((count !== want || distinct !== want) && details.length < 20)
        details.push(`${name}: ${key} has ${count} rows, ${distinct} distinct, ${want} were acknowledged`)
    }
  }
  return { lost, duplicated, leftOver, details }
}

/** Waits until all instances are at the same offset of every partition; gives who answers reads. */
async function settled(driver: MovesDriver): Promise<string[][]> {
  const untilMs = performance.now() + WITHIN_MS
  for (;;) {
    const { readers, next } = await driver.readers()
    const isLevel = (next[0] ?? []).every((offset, p) => next.every((own) => own[p] === offset))
    if (isLevel) return readers
    if (performance.now() > untilMs)
      throw new Error(`the instances do not come to the same offset: ${JSON.stringify(next)}`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
