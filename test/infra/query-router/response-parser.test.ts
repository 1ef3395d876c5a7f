import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { createResponseParser, type ResponseHead } from '../../../infra/query-router/response-parser.ts'

interface Parsed {
  status: number
  headers: readonly string[]
  body: string
  ends: number
  isDone: boolean
  keepAliveMs: number
}

function parse(
  text: string,
  cuts: readonly number[] = [],
  options: { head?: boolean; close?: boolean } = {},
): Parsed {
  let head: ResponseHead | null = null
  let body = ''
  let ends = 0
  const parser = createResponseParser(
    {
      onHead(h) {
        head = h
      },
      onBody(piece, isLast) {
        body += piece.toString('latin1')
        if (isLast) ends++
      },
    },
    options.head === true,
  )
  const bytes = Buffer.from(text, 'latin1')
  const at = [...cuts.map((c) => c % (bytes.length + 1)), 0, bytes.length].sort((a, b) => a - b)
  for (let i = 1; i < at.length; i++) {
    const piece = bytes.subarray(at[i - 1], at[i])
    if (piece.length > 0) parser.push(piece)
  }
  if (options.close === true) parser.end()
  const { status = 0, headers = [] } = (head ?? {}) as Partial<ResponseHead>
  return { status, headers, body, ends, isDone: parser.isDone, keepAliveMs: parser.keepAliveMs }
}

const CASES: readonly (readonly [name: string, text: string, expected: Partial<Parsed>])[] = [
  [
    'counted',
    'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: 1\r\nX-A: 2\r\n\r\nhello',
    { body: 'hello', ends: 1, headers: ['Content-Length', '5', 'X-A', '1', 'X-A', '2'] },
  ],
  ['counted, empty', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', { body: '', ends: 1 }],
  [
    'chunked',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n th\r\n0\r\n\r\n',
    { body: 'hello th', ends: 1 },
  ],
  [
    'chunked with a trailer',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-T: 1\r\n\r\n',
    { body: 'hi', ends: 1 },
  ],
  [
    'after an interim answer',
    'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\nx',
    { status: 404, body: 'x', ends: 1 },
  ],
  [
    'without a body',
    'HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n',
    { status: 204, body: '', ends: 1 },
  ],
]

test.each(CASES)('an answer is read the same however it is cut: %s', (_, text, expected) => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 8 }), (cuts) => {
      expect(parse(text, cuts)).toMatchObject({ isDone: true, ...expected })
    }),
  )
})

test('an answer that breaks off is never whole', () => {
  for (const [, text] of CASES) {
    for (let end = 0; end < text.length; end++) {
      const cut = parse(text.slice(0, end), [], { close: true })
      if (text.startsWith('HTTP/1.1 204') || text.includes('Length: 0')) continue
      expect(cut).toMatchObject({ isDone: false, ends: 0 })
    }
  }
})

test('an answer without length ends with the connection, which is then gone', () => {
  const text = 'HTTP/1.1 200 OK\r\n\r\nhello'
  expect(parse(text)).toMatchObject({ isDone: false })
  expect(parse(text, [], { close: true })).toMatchObject({ isDone: true, body: 'hello', keepAliveMs: 0 })
})

test('a connection is kept as long as its instance says, and not at all after bytes that belong to no answer', () => {
  const text = (headers: string, more = '') =>
    `HTTP/1.1 200 OK\r\nContent-Length: 1\r\n${headers}\r\nx${more}`
  expect(parse(text('Keep-Alive: timeout=10\r\n')).keepAliveMs).toBe(9000)
  expect(parse(text('')).keepAliveMs).toBeGreaterThan(0)
  expect(parse(text('Connection: close\r\n')).keepAliveMs).toBe(0)
  expect(parse(text('', 'HTTP/1.1 200 OK')).keepAliveMs).toBe(0)
})

test('what is no HTTP is an error', () => {
  for (const text of [
    'SSH-2.0-x\r\n\r\n',
    'HTTP/1.1 200 OK\r\nno colon\r\n\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
  ]) {
    expect(() => parse(text)).toThrow(/answer/)
  }
})
