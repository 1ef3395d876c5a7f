import { Buffer } from 'node:buffer'
import type { Readable } from 'node:stream'
import { ForestallError } from '#core/ports'
import type { ResponseHead } from './response-parser.ts'
import type { Upstream } from './upstream.ts'

/** A whole answer. */
export interface Answer {
  readonly status: number
  readonly headers: readonly string[]
  readonly body: Buffer
}

/** What to ask of an instance. */
export interface Question {
  readonly sql: string
  /** Further URL parameters: settings, `param_x`. */
  readonly search?: Readonly<Record<string, string>>
  /** Credentials, as header names and values in turn. */
  readonly headers?: readonly string[]
  readonly body?: Buffer | Readable
  readonly isRepeatable?: boolean
  /** Called if it is sent a second time, which only what is repeatable is. */
  readonly onAgain?: () => void
}

/** Asks an instance and holds the answer in memory; `onPiece` takes the body of a good answer instead. */
export function ask(
  upstream: Upstream,
  question: Question,
  onPiece?: (piece: Buffer) => Promise<void>,
): Promise<Answer> {
  const { sql, search = {}, headers = [], body, isRepeatable = false, onAgain } = question
  const query = new URLSearchParams(body === undefined ? search : { ...search, query: sql })
  return send(
    upstream,
    {
      method: 'POST',
      path: `/?${query.toString()}`,
      headers,
      body: body ?? Buffer.from(sql),
      isRepeatable,
      ...(onAgain === undefined ? {} : { onAgain }),
    },
    onPiece,
  )
}

/** Sends any request and collects its answer, as `ask` does. Rejects if there is none; `reached` is on the error. */
export function send(
  upstream: Upstream,
  request: Parameters<Upstream['send']>[0],
  onPiece?: (piece: Buffer) => Promise<void>,
): Promise<Answer> {
  const { promise, resolve, reject } = Promise.withResolvers<Answer>()
  const pieces: Buffer[] = []
  let head: ResponseHead | null = null
  let taking: Promise<void> = Promise.resolve()
  let failed = false
  const call = upstream.send(request, {
    onHead(h) {
      head = h
    },
    onBody(piece, isLast) {
      if (failed || head === null) return
      const { status, headers } = head
      if (onPiece === undefined || status !== 200) pieces.push(piece)
      else if (piece.length > 0) {
        if (!isLast) call.pause()
        taking = taking
          .then(() => onPiece(piece))
          .then(
            () => call.resume(),
            (error: unknown) => {
              failed = true
              call.abort()
              reject(error instanceof Error ? error : new Error(String(error)))
            },
          )
      }
      if (isLast) void taking.then(() => resolve({ status, headers, body: Buffer.concat(pieces) }))
    },
    onFailure: (error, reached) => reject(Object.assign(error, { reached })),
  })
  return promise
}

/**
 * Tables that do not fit what is asked of them, which ClickHouse answers with status 500 as well: NOT_FOUND_COLUMN_IN_BLOCK,
 * NO_SUCH_COLUMN_IN_TABLE, NUMBER_OF_COLUMNS_DOESNT_MATCH, BAD_ARGUMENTS, TYPE_MISMATCH, INCOMPATIBLE_COLUMNS.
 */
const OF_TABLES: ReadonlySet<number> = new Set([10, 16, 20, 36, 53, 122])

/**
 * As `ask`, but anything other than a good answer is thrown: WAREHOUSE_UNAVAILABLE with a cause if there is none,
 * without one if the instance is not well, WAREHOUSE_REJECTED with its words if it refuses.
 */
export async function insistOnAnswer(
  upstream: Upstream,
  question: Question,
  onPiece?: (piece: Buffer) => Promise<void>,
): Promise<Answer> {
  let answer: Answer
  try {
    answer = await ask(upstream, question, onPiece)
  } catch (cause) {
    throw new ForestallError('WAREHOUSE_UNAVAILABLE', `${upstream.url}: ${(cause as Error).message}`, {
      cause,
    })
  }
  if (answer.status === 200) return answer
  const text = answer.body.toString().trim()
  const code = Number(headerOf(answer.headers, 'x-clickhouse-exception-code'))
  const mayPass = answer.status >= 500 && !OF_TABLES.has(code)
  const kind = mayPass ? 'WAREHOUSE_UNAVAILABLE' : 'WAREHOUSE_REJECTED'
  throw new ForestallError(kind, `${upstream.url}: ${text}`)
}

/** Lines of an answer, without empty ones. */
export const linesOf = (answer: Answer): string[] =>
  answer.body
    .toString()
    .split('\n')
    .filter((line) => line !== '')

/** The value of a header; '' if it is missing. */
export function headerOf(headers: readonly string[], name: string): string {
  for (let i = 0; i < headers.length; i += 2) {
    if ((headers[i] as string).toLowerCase() === name) return headers[i + 1] as string
  }
  return ''
}

/** `name` in backticks. */
export const quoted = (name: string): string => `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``

/** `text` as an SQL string. */
export const literal = (text: string): string =>
  `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n')}'`
