import { Buffer } from 'node:buffer'
import type { ServerResponse } from 'node:http'
import { breakOff, writeHead as sendHead } from './exceptions.ts'
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

/** Names of other lengths need not be looked at. */
const DROPPED_LENGTHS = new Set([...DROPPED].map(({ length }) => length))

/** Headers to pass on. */
export function passedHeaders(head: ResponseHead): string[] {
  const headers: string[] = []
  for (let i = 0; i < head.headers.length; i += 2) {
    const name = head.headers[i] as string
    const isDropped = DROPPED_LENGTHS.has(name.length) && DROPPED.has(name.toLowerCase())
    if (!isDropped) headers.push(name, head.headers[i + 1] as string)
  }
  return headers
}

const EMPTY = Buffer.alloc(0)

/** Passes one answer on to a client. */
export interface Relay extends UpstreamHandler {
  /** To be called with the request that the answers come from, for back-pressure. */
  attach(call: UpstreamCall): void
}

/** A first piece up to this size waits for the next one; larger ones are passed on at once. */
const HELD_BYTES = 8 << 10
/** How long it waits, ms: instances send the end of a short answer in a packet of its own, right after the rest. */
const HELD_MS = 3

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
  let held: Buffer | null = null
  let flushing: NodeJS.Timeout | null = null

  function writeHead(head: ResponseHead, length: number): void {
    const headers = passedHeaders(head)
    for (const part of extraHeaders) headers.push(part)
    if (length >= 0) headers.push('Content-Length', String(length))
    sendHead(response, head.status, head.reason, headers)
  }

  /** The piece with what was held back before it. */
  function unheld(piece: Buffer): Buffer {
    if (flushing !== null) clearTimeout(flushing)
    const first = held
    held = flushing = null
    if (first === null) return piece
    return piece.length === 0 ? first : Buffer.concat([first, piece])
  }

  function write(piece: Buffer): void {
    if (pending !== null) writeHead(pending, pending.length)
    pending = null
    if (response.write(piece)) return
    call?.pause()
    response.once('drain', () => call?.resume())
  }

  function end(piece: Buffer): void {
    // What came in one piece is sent with its length, in one write.
    if (pending !== null) writeHead(pending, Math.max(pending.length, piece.length))
    pending = null
    // Node joins a string with the head, bytes it does not.
    if (piece.length <= HELD_BYTES) response.end(piece.toString('latin1'), 'latin1')
    else response.end(piece)
    onOver(null, true)
  }

  return {
    attach(made) {
      call = made
    },
    onHead(head) {
      pending = head
    },
    onBody(piece, isLast) {
      if (isLast) return end(unheld(piece))
      if (pending === null || held !== null || piece.length > HELD_BYTES) return write(unheld(piece))
      held = piece
      flushing = setTimeout(() => {
        if (!response.destroyed) write(unheld(EMPTY))
      }, HELD_MS)
    },
    onFailure(error, reached) {
      unheld(EMPTY)
      if (response.headersSent) breakOff(response)
      onOver(error, reached)
    },
  }
}
