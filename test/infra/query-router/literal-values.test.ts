import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { refuseExpressions } from '../../../infra/query-router/literal-values.ts'

/** Passes the rows through in pieces of one byte and as a whole. */
async function pass(rows: string): Promise<string> {
  const bytes = Buffer.from(rows)
  const single = Readable.from([...bytes].map((b) => Buffer.from([b]))).pipe(refuseExpressions())
  const [whole, parts] = await Promise.all([
    text(Readable.from([bytes]).pipe(refuseExpressions())),
    text(single),
  ])
  expect(parts).toBe(whole)
  return whole
}

test.each([
  "('a', 1), ('b', -2.5e3)",
  "('now()', 1), ('it''s (SELECT 1)', 2), ('\\\\', 3), ('\\'rand()', 4)",
  '([1, 2], (3, NULL), {1: 2}, true)',
  "(toDate('2024-01-01'), tuple(1, 2), array ('x'), map('a', 1))",
  '',
])('literals pass: %s', async (rows) => {
  expect(await pass(rows)).toBe(rows)
})

test.each([
  "('a', now())",
  '(1, rand ( ))',
  "('x', (SELECT 1))",
  '(1, generateUUIDv4())',
  '(1, (select\n1))',
])('refused: %s', async (rows) => {
  await expect(pass(rows)).rejects.toMatchObject({ code: 48, status: 501 })
})
