import { Buffer } from 'node:buffer'
import type { Readable } from 'node:stream'
import { type Connection, createConnectionPool } from './connections.ts'
import { createResponseParser, type ResponseHead, type ResponseParser } from './response-parser.ts'

/** Called as the answer of one request comes in; the last piece of the body or `onFailure` ends it. */
export interface UpstreamHandler {
  onHead(head: ResponseHead): void
  /** A piece of the body; an empty last one only ends it. */
  onBody(piece: Buffer, isLast: boolean): void
  /** `reached`: the instance may have begun with the request. A BodyFailure if its own body was what failed. */
  onFailure(error: Error, reached: boolean): void
}

/** The body of a request could not be read to its end: the fault of whoever sends it, not of the instance. */
export class BodyFailure extends Error {
  constructor(cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause })
    this.name = 'BodyFailure'
  }
}

/** A request to send. */
export interface UpstreamRequest {
  readonly method: string
  /** Path and query. */
  readonly path: string
  /** Names and values in turn; without Host, Content-Length and what belongs to a connection. */
  readonly headers: readonly string[]
  /** Null: none. A stream is sent in chunks. */
  readonly body: Buffer | Readable | null
  /** May be sent again if a kept connection turns out to be closed. */
  readonly isRepeatable: boolean
  /** Called if it is: the instance may have begun with the first. */
  readonly onAgain?: () => void
}

/** A request under way. */
export interface UpstreamCall {
  /** Back-pressure: no more of the body is read until `resume`. */
  pause(): void
  resume(): void
  /** Ends it; the connection is closed, which tells the instance. Nothing is called any more. */
  abort(): void
}

/** One instance: requests over connections that are kept. */
export interface Upstream {
  /** Base URL, without credentials. */
  readonly url: string
  send(request: UpstreamRequest, handler: UpstreamHandler): UpstreamCall
  close(): void
}

/** A body up to this size is sent with its head in one piece. */
const JOINED_BYTES = 16 << 10

/** An upstream of HTTP/1.1; `http:` and `https:`. */
export function createUpstream(base: string): Upstream {
  const url = new URL(base)
  const isTls = url.protocol === 'https:'
  const prefix = url.pathname.replace(/\/$/, '')
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const pool = createConnectionPool(host, Number(url.port || (isTls ? 443 : 80)), isTls)

  function headOf({ method, path, headers, body }: UpstreamRequest): string {
    let text = `${method} ${prefix}${path} HTTP/1.1\r\nHost: ${url.host}\r\n`
    for (let i = 0; i < headers.length; i += 2) text += `${headers[i]}: ${headers[i + 1]}\r\n`
    if (body === null) {
      return method === 'GET' || method === 'HEAD' ? `${text}\r\n` : `${text}Content-Length: 0\r\n\r\n`
    }
    return isBytes(body)
      ? `${text}Content-Length: ${body.length}\r\n\r\n`
      : `${text}Transfer-Encoding: chunked\r\n\r\n`
  }

  return {
    url: `${url.protocol}//${url.host}${prefix}`,
    send(request, handler) {
      const { body } = request
      let isOver = false
      let isSent = body === null || isBytes(body)
      let connection: Connection

      function fail(error: Error, reached: boolean): void {
        if (isOver) return
        isOver = true
        connection.release(0)
        handler.onFailure(error, reached)
      }

      function start(again: boolean): void {
        connection = pool.take(again || !request.isRepeatable)
        const own = connection
        let isConnected = !own.isFresh
        let hasAnswer = false
        const parser: ResponseParser = createResponseParser(
          {
            onHead: (head) => handler.onHead(head),
            onBody(piece, isLast) {
              if (isOver) return
              if (isLast) {
                isOver = true
                // An answer before the whole request was sent leaves a connection that nobody can use.
                own.release(isSent ? parser.keepAliveMs : 0)
              }
              handler.onBody(piece, isLast)
            },
          },
          request.method === 'HEAD',
        )
        own.use({
          onConnected() {
            isConnected = true
          },
          onData(bytes) {
            hasAnswer = true
            try {
              parser.push(bytes)
            } catch (error) {
              fail(error as Error, true)
            }
          },
          onEnd() {
            if (!isOver && !parser.end()) own.socket.destroy()
          },
          onLost(error) {
            if (isOver) return
            // A kept connection that the instance has closed meanwhile says nothing about the instance.
            if (own.isFresh || hasAnswer || !request.isRepeatable || again) return fail(error, isConnected)
            request.onAgain?.()
            start(true)
          },
        })
        write(own)
      }

      function write({ socket }: Connection): void {
        const head = headOf(request)
        if (isBytes(body) && body.length <= JOINED_BYTES) return void socket.write(joined(head, body))
        socket.cork()
        socket.write(head, 'latin1')
        if (isBytes(body)) socket.write(body)
        socket.uncork()
        if (body !== null && !isBytes(body)) void stream(socket, body)
      }

      async function stream(socket: Connection['socket'], rows: Readable): Promise<void> {
        try {
          await sendChunks(socket, rows)
          isSent = true
        } catch (error) {
          fail(new BodyFailure(error), true)
        }
      }

      start(false)
      return {
        pause: () => void connection.socket.pause(),
        resume: () => void connection.socket.resume(),
        abort() {
          if (isOver) return
          isOver = true
          connection.release(0)
        },
      }
    },
    close: () => pool.close(),
  }
}

/** Head and body in one buffer: one plain write costs less than a copy and a write of two. */
function joined(head: string, body: Buffer): Buffer {
  const all = Buffer.allocUnsafe(head.length + body.length)
  all.write(head, 'latin1')
  body.copy(all, head.length)
  return all
}

const isBytes = (body: Buffer | Readable | null): body is Buffer => body instanceof Uint8Array

async function sendChunks(socket: Connection['socket'], body: Readable): Promise<void> {
  const pieces = body[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  // Not `for await`: leaving that would destroy the request of a client that has its answer early.
  for (let next = await pieces.next(); next.done !== true; next = await pieces.next()) {
    if (socket.destroyed) return
    const piece = next.value
    if (piece.length === 0) continue
    socket.cork()
    socket.write(`${piece.length.toString(16)}\r\n`, 'latin1')
    socket.write(piece)
    const isFree = socket.write('\r\n')
    socket.uncork()
    if (!isFree) await drained(socket)
  }
  socket.write('0\r\n\r\n')
}

const drained = (socket: Connection['socket']): Promise<void> =>
  new Promise((resolve) => {
    const go = (): void => {
      socket.off('drain', go)
      socket.off('close', go)
      resolve()
    }
    socket.on('drain', go)
    socket.on('close', go)
  })
