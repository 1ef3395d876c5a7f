import { Buffer } from 'node:buffer'
import { type Answer, send } from './ask.ts'
import { RouterException } from './exceptions.ts'
import type { PartRequest } from './parts.ts'

/** Steps of ClickHouse's plans that give for the parts of a table, one after another, what they give for the whole. */
const ROW_BY_ROW = /^(?:Expression|Filter|ArrayJoin|ReadFrom\w+)$/

/**
 * Asks an instance how it would carry out a read: answers of parts are the answer of all only if nothing aggregates,
 * sorts, cuts or compares rows of different parts, be it by a function or a setting. Throws 36 if something does.
 * Returns the instance's own error if it refuses the read, else null.
 */
export async function whyRefused({ upstream, search, headers, sql }: PartRequest): Promise<Answer | null> {
  const body = Buffer.from(`EXPLAIN PLAN json = 1 ${sql}`)
  const path = `/?${search.toString()}`
  const answer = await send(upstream, { method: 'POST', path, headers, body, isRepeatable: true })
  if (answer.status !== 200) return answer
  // The statement's own format holds here, too: quotes may be escaped in any way.
  const steps = [...answer.body.toString().matchAll(/Node Type\W+(\w+)/g)].map(([, step = '']) => step)
  const other = steps.find((step) => !ROW_BY_ROW.test(step))
  if (steps.length > 0 && other === undefined) return null
  throw new RouterException(
    36,
    'BAD_ARGUMENTS',
    `The answers of several instances cannot be put together for a query with the step ${other ?? 'unknown'}: name the shard key, or ask for the rows and compute the rest yourself`,
  )
}
