import { expect, test } from 'vitest'
import { failOnLeaks } from '../../support/leaks.ts'
import { type Got, startFront } from './front.ts'

failOnLeaks()

/** Pairs of key and row, as an instance gives back what it has parsed. */
const PAIRS = Buffer.from([1, 97, 2, 97, 1])

function instance(response: { end(bytes?: Buffer | string): unknown }, { sql }: Got): void {
  response.end(sql.startsWith('SELECT toString') ? PAIRS : '')
}

async function insert(sql: string, search = '', body = ''): Promise<{ status: number; text: string }> {
  const answer = await fetch(
    `${front.url}/?${search}${search === '' ? '' : '&'}query=${encodeURIComponent(sql)}`,
    {
      method: 'POST',
      body,
    },
  )
  return { status: answer.status, text: await answer.text() }
}

let front: Awaited<ReturnType<typeof startFront>>

test('rows are parsed at once, whoever says that they may wait', async () => {
  front = await startFront([instance])
  const later =
    'INSERT INTO shop.orders SETTINGS async_insert = 1, wait_for_async_insert=0, max_threads=2 FORMAT CSV'
  expect(await insert(later, 'async_insert=1&wait_for_async_insert=0', '"a",1')).toEqual({
    status: 200,
    text: '',
  })
  const [parsed, read] = front.got
  expect(parsed?.sql).toMatch(
    /^INSERT INTO `shop`\.`\w+` SETTINGS async_insert = 0, wait_for_async_insert=0, max_threads=2 FORMAT CSV$/,
  )
  expect(parsed?.search.getAll('async_insert')).toEqual(['0'])
  expect(parsed?.search.has('wait_for_async_insert')).toBe(false)
  // An error among the rows would be taken for rows.
  expect(read?.search.get('wait_end_of_query')).toBe('1')
  expect(Buffer.concat(front.pushed)).toEqual(PAIRS)
})

test('a token counts where ClickHouse takes it: in the statement before the URL', async () => {
  front = await startFront([instance])
  await insert(
    "INSERT INTO shop.orders SETTINGS insert_deduplication_token = 'it''s' FORMAT CSV",
    '',
    '"a",1',
  )
  await insert('INSERT INTO shop.orders FORMAT CSV', 'insert_deduplication_token=url', '"a",1')
  expect(front.tokens).toEqual(["it's", 'url'])
})

test('what cannot be looked through is refused', async () => {
  front = await startFront([instance])
  const refused = { status: 501, text: expect.stringContaining('decompress=1') }
  expect(await insert('INSERT INTO shop.orders VALUES', 'decompress=1', 'packed')).toEqual(refused)
  expect(await insert('INSERT INTO shop.orders FORMAT CSV "a",1', 'decompress=1', 'packed')).toEqual(refused)
  expect(front.pushed).toEqual([])
  expect(await insert('INSERT INTO shop.orders FORMAT Native', 'decompress=1', 'packed')).toMatchObject({
    status: 200,
  })
})

test('KILL is answered by those who are there', async () => {
  front = await startFront([(response) => void response.socket?.destroy(), (r) => void r.end('killed\n')])
  expect(await insert("KILL QUERY WHERE query_id = 'a'")).toEqual({ status: 200, text: 'killed\n' })
  front = await startFront([(response) => void response.socket?.destroy()])
  expect(await insert("KILL QUERY WHERE query_id = 'a'")).toMatchObject({ status: 503 })
})
