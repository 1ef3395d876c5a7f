import { Buffer } from 'node:buffer'
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
  354: 400,
  62: 400,
  60: 404,
  159: 408,
  229: 413,
  279: 503,
}

const statusOf = (code: number): number => STATUS[code] ?? 500

/** Whether Node sends a text as the value of a header; it throws at any other. */
const isHeaderValue = (text: string): boolean => /^[\t\x20-\x7e\x80-\xff]*$/.test(text)

/**
 * Writes the head of an answer. Values that no header may hold are left out: clients choose ids of queries freely, and
 * instances send them back.
 */
export function writeHead(response: ServerResponse, status: number, reason: string, headers: string[]): void {
  const write = (list: string[]): void => {
    if (reason === '' || !isHeaderValue(reason)) response.writeHead(status, list)
    else response.writeHead(status, reason, list)
  }
  try {
    write(headers)
  } catch {
    const sound: string[] = []
    for (let i = 0; i < headers.length; i += 2) {
      const [name = '', value = ''] = [headers[i], headers[i + 1]]
      if (isHeaderValue(value)) sound.push(name, value)
    }
    write(sound)
  }
}

/**
 * Ends an answer that has begun, so that nobody takes it for whole. HTTP/1.0 marks the end of a body by the end of the
 * connection: there only a reset tells.
 */
export function breakOff(response: ServerResponse): void {
  if (response.req.httpVersion === '1.0' && response.socket !== null) response.socket.resetAndDestroy()
  else response.destroy()
}

/** Answers with an error; an answer that has begun is broken off, as ClickHouse does, so that nobody takes it for whole. */
export function answerError(response: ServerResponse, error: unknown, queryId: string): void {
  if (response.headersSent || response.destroyed) return breakOff(response)
  const known =
    error instanceof RouterException
      ? error
      : new RouterException(1002, 'UNKNOWN_EXCEPTION', error instanceof Error ? error.message : String(error))
  const text = `Code: ${known.code}. DB::Exception: ${known.message.replace(/\.$/, '')}. (${known.errorName}) (version forestall query router)\n`
  const headers = [
    'Content-Type',
    'text/plain; charset=UTF-8',
    'Content-Length',
    String(Buffer.byteLength(text)),
  ]
  headers.push('X-ClickHouse-Exception-Code', String(known.code))
  if (queryId !== '') headers.push('X-ClickHouse-Query-Id', queryId)
  writeHead(response, known.status, '', headers)
  response.end(text)
}
