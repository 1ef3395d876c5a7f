import { expect, test } from 'vitest'
import { failOnLeaks } from '../../support/leaks.ts'
import { startFront } from './front.ts'

failOnLeaks()

test('an id of a query that no header can hold harms nobody', async () => {
  const { url } = await startFront([
    (response) =>
      response.socket?.end(
        'HTTP/1.1 200 OK\r\nX-ClickHouse-Query-Id: \x01\r\nX-A: 1\r\nContent-Length: 2\r\n\r\n1\n',
      ),
  ])
  const ask = (sql: string) => fetch(`${url}/?query_id=%E2%82%AC%01`, { method: 'POST', body: sql })
  expect((await ask('DROP TABLE orders')).status).toBe(501)
  const answer = await ask('SELECT 2')
  expect([answer.status, answer.headers.get('x-a'), await answer.text()]).toEqual([200, '1', '1\n'])
})
