import type { ServerResponse } from 'node:http'
import type { ResponseHead } from './response-parser.ts'
import type { UpstreamCall, UpstreamHandler } from './upstream.ts'

/** Headers of an answer that belong to its connection. */
const DROPPED = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'content-length',
  'trailer',
  'upgrade',
])

/** Headers to pass on. */
export function passedHeaders(head: ResponseHead): string[] {
  const headers: string[] = []
  for (let i = 0; i < head.headers.length; i += 2) {
    const name = head.headers[i] as string
    if (!DROPPED.has(name.toLowerCase())) headers.push(name, head.headers[i + 1] as string)
  }
  return headers
}

/** Passes one answer on to a client. */
export interface Relay extends UpstreamHandler {
  /** To be called with the request that the answers come from, for back-pressure. */
  attach(call: UpstreamCall): void
}

/**
 * Writes the answer as it comes, no faster than the client reads. An answer that breaks off is broken off for the client
 * too: a connection that closes before the end of a chunked or counted body cannot be taken for a whole one.
 */
export function createRelay(
  response: ServerResponse,
  extraHeaders: readonly string[],
  onOver: (failure: Error | null, reached: boolean) => void,
): Relay {
  let call: UpstreamCall | null = null
  let pending: ResponseHead | null = null

  function writeHead(head: ResponseHead, length: number): void {
    const headers = passedHeaders(head)
    headers.push(...extraHeaders)
    if (length >= 0) headers.push('Content-Length', String(length))
    if (head.reason === '') response.writeHead(head.status, headers)
    else response.writeHead(head.status, head.reason, headers)
  }

  return {
    attach(made) {
      call = made
    },
    onHead(head) {
      pending = head
    },
    onBody(piece, isLast) {
      if (pending !== null) {
        // What came in one piece is sent with its length, in one write.
        writeHead(pending, isLast ? Math.max(pending.length, piece.length) : pending.length)
        pending = null
      }
      if (isLast) {
        response.end(piece)
        return onOver(null, true)
      }
      if (!response.write(piece)) {
        call?.pause()
        response.once('drain', () => call?.resume())
      }
    },
    onFailure(error, reached) {
      if (response.headersSent) response.destroy()
      onOver(error, reached)
    },
  }
}
