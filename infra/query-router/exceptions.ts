import type { ServerResponse } from 'node:http'

/** An error in ClickHouse's words, as its HTTP interface sends them. */
export class RouterException extends Error {
  readonly code: number
  readonly errorName: string
  readonly status: number
  constructor(code: number, errorName: string, message: string, status = statusOf(code)) {
    super(message)
    this.name = 'RouterException'
    this.code = code
    this.errorName = errorName
    this.status = status
  }
}

/** The statuses of ClickHouse's `exceptionCodeToHTTPStatus.cpp` for the codes that are used here. */
const STATUS: Readonly<Record<number, number>> = {
  36: 400,
  48: 501,
  62: 400,
  60: 404,
  159: 408,
  229: 413,
  279: 503,
}

const statusOf = (code: number): number => STATUS[code] ?? 500

/** Answers with an error; an answer that has begun is broken off, as ClickHouse does, so that nobody takes it for whole. */
export function answerError(response: ServerResponse, error: unknown, queryId: string): void {
  if (response.headersSent || response.destroyed) return void response.destroy()
  const known =
    error instanceof RouterException
      ? error
      : new RouterException(1002, 'UNKNOWN_EXCEPTION', error instanceof Error ? error.message : String(error))
  const text = `Code: ${known.code}. DB::Exception: ${known.message.replace(/\.$/, '')}. (${known.errorName}) (version forestall query router)\n`
  response.writeHead(known.status, {
    'Content-Type': 'text/plain; charset=UTF-8',
    'Content-Length': Buffer.byteLength(text),
    'X-ClickHouse-Exception-Code': String(known.code),
    ...(queryId === '' ? {} : { 'X-ClickHouse-Query-Id': queryId }),
  })
  response.end(text)
}
