import { RouterException } from './exceptions.ts'

/**
 * Keeps inserts and changes of tables apart. Rows are parsed by the columns that a table has; if a change came between
 * that and the log, no replica could take them, and nothing behind them in the log would be applied either.
 */
export interface ChangeGate {
  /** Runs an insert beside others, once no change is under way or waiting. */
  insert<T>(work: () => Promise<T>): Promise<T>
  /** Runs a change alone. Throws 473 if the inserts before it do not end in time. */
  change<T>(work: () => Promise<T>): Promise<T>
}

/** A gate with nothing under way; a change waits for inserts for so long, ms. */
export function createChangeGate(patienceMs = 30_000): ChangeGate {
  const inserts = new Set<Promise<unknown>>()
  let changing: Promise<unknown> = Promise.resolve()
  let waiting = 0
  const isChanging = (): boolean => waiting > 0

  async function alone<T>(work: () => Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | null = null
    const late = new Promise<'late'>((resolve) => {
      timer = setTimeout(() => resolve('late'), patienceMs)
    })
    const done = Promise.allSettled(inserts)
    const first = await Promise.race([done, late])
    if (timer !== null) clearTimeout(timer)
    if (first !== 'late') return work()
    throw new RouterException(
      473,
      'DEADLOCK_AVOIDED',
      `Inserts have been under way for ${patienceMs} ms: a change of tables waits for them. Nothing was changed, try again`,
    )
  }

  return {
    async insert(work) {
      while (isChanging()) await changing
      const run = work()
      inserts.add(run)
      try {
        return await run
      } finally {
        inserts.delete(run)
      }
    },
    async change(work) {
      waiting++
      const run = changing.then(() => alone(work))
      changing = run.catch(() => undefined).finally(() => waiting--)
      return run
    },
  }
}
