import { Buffer } from 'node:buffer'
import type { ServerResponse } from 'node:http'
import { headerOf } from './ask.ts'
import { RouterException, writeHead } from './exceptions.ts'
import { passedHeaders } from './relay.ts'
import type { ResponseHead } from './response-parser.ts'
import type { Upstream, UpstreamCall } from './upstream.ts'

/** One part of a read. */
export interface PartRequest {
  readonly upstream: Upstream
  readonly search: URLSearchParams
  readonly headers: readonly string[]
  readonly sql: string
  /** Called if the instance does not answer, or not to the end. */
  readonly onLost: () => void
}

/**
 * Sends all parts at once and writes their answers one after another. The first that fails before anything was written
 * is the answer; one that fails later breaks the answer off.
 */
export async function answerParts(response: ServerResponse, parts: readonly PartRequest[]): Promise<void> {
  // The client may have gone before this.
  if (response.destroyed) return
  const running = parts.map(startPart)
  const abort = (): void => running.forEach((part) => part.call.abort())
  response.on('close', () => {
    if (!response.writableFinished) abort()
  })
  try {
    const heads = await Promise.all(running.map((part) => part.head))
    const failed = heads.findIndex((head) => head.status !== 200)
    const chosen = failed < 0 ? 0 : failed
    const [first] = heads
    if (first === undefined) return
    const head = heads[chosen] ?? first
    const headers = [...passedHeaders(head), 'X-Forestall-Parts', String(parts.length)]
    writeHead(response, head.status, head.reason, headers)
    for (const part of failed < 0 ? running : running.slice(failed, failed + 1)) {
      for await (const piece of part.pieces()) {
        if (!response.write(piece)) await drained(response)
      }
    }
    response.end()
    if (failed >= 0) abort()
  } catch (error) {
    abort()
    throw error
  }
}

const drained = (response: ServerResponse): Promise<void> =>
  new Promise((resolve) => {
    if (response.destroyed) return resolve()
    response.once('drain', resolve)
    response.once('close', resolve)
  })

interface RunningPart {
  readonly call: UpstreamCall
  readonly head: Promise<ResponseHead>
  /** The body; the instance waits while it is not read. */
  pieces(): AsyncGenerator<Buffer>
}

function startPart({ upstream, search, headers, sql, onLost }: PartRequest): RunningPart {
  const head = Promise.withResolvers<ResponseHead>()
  const queue: Buffer[] = []
  let isOver = false
  let failure: Error | null = null
  let wake = (): void => {}
  const call = upstream.send(
    { method: 'POST', path: `/?${search.toString()}`, headers, body: Buffer.from(sql), isRepeatable: true },
    {
      onHead(h) {
        if (h.status === 200 && headerOf(h.headers, 'content-encoding') !== '') {
          head.reject(
            new RouterException(48, 'NOT_IMPLEMENTED', 'Compressed answers of parts cannot be joined'),
          )
        }
        head.resolve(h)
      },
      onBody(piece, isLast) {
        if (piece.length > 0) queue.push(piece)
        if (isLast) isOver = true
        else call.pause()
        wake()
      },
      onFailure(error) {
        failure = error
        onLost()
        head.reject(new RouterException(210, 'NETWORK_ERROR', error.message, 503))
        wake()
      },
    },
  )
  head.promise.catch(() => undefined)
  return {
    call,
    head: head.promise,
    async *pieces() {
      for (;;) {
        for (let piece = queue.shift(); piece !== undefined; piece = queue.shift()) yield piece
        if (failure !== null) throw failure
        if (isOver) return
        const more = new Promise<void>((resolve) => {
          wake = resolve
        })
        call.resume()
        await more
      }
    },
  }
}
