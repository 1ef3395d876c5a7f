import { Buffer } from 'node:buffer'

/** Head of an answer. */
export interface ResponseHead {
  readonly status: number
  readonly reason: string
  /** Names and values in turn, as sent. */
  readonly headers: readonly string[]
  /** Bytes of the body if the head says so; -1 if it is chunked or ends with the connection. */
  readonly length: number
}

/** Called as an answer comes in. */
export interface ResponseHandler {
  onHead(head: ResponseHead): void
  /** A piece of the body; `isLast`: nothing follows. An empty last piece only ends it. */
  onBody(piece: Buffer, isLast: boolean): void
}

/** Reads one answer of HTTP/1.1 after another from a connection. */
export interface ResponseParser {
  /** Takes bytes. Throws Error for what is no HTTP. */
  push(bytes: Buffer): void
  /** The connection has ended: true if that ends the answer in order. */
  end(): boolean
  readonly isDone: boolean
  /** Whether the connection may be used again after this answer, and for how long it may be idle, ms. */
  readonly keepAliveMs: number
}

const MAX_HEAD_BYTES = 1 << 20
const EMPTY = Buffer.alloc(0)
const HEAD_END = Buffer.from('\r\n\r\n')
const DEFAULT_KEEP_ALIVE_MS = 4000

type Framing = 'length' | 'chunked' | 'until-close'

/** A parser for the answer to one request; `hasNoBody` for HEAD. */
export function createResponseParser(handler: ResponseHandler, hasNoBody: boolean): ResponseParser {
  let left: Buffer = EMPTY
  let state: 'head' | 'body' | 'done' = 'head'
  let framing: Framing = 'until-close'
  /** Bytes still to come of the body or of the present chunk. */
  let remaining = 0
  let chunk: 'size' | 'data' | 'data-end' | 'trailer' = 'size'
  let keepAliveMs = 0

  /** `extra`: bytes that belong to no answer; the connection is not to be trusted any more. */
  function finish(extra: number): void {
    state = 'done'
    if (extra > 0) keepAliveMs = 0
  }

  function readHead(bytes: Buffer): Buffer | null {
    const end = bytes.indexOf(HEAD_END)
    if (end < 0) {
      if (bytes.length > MAX_HEAD_BYTES) throw new Error('The head of an answer is larger than 1 MiB')
      left = bytes
      return null
    }
    const rest = bytes.subarray(end + 4)
    const head = parseHead(bytes.toString('latin1', 0, end))
    if (head.status >= 100 && head.status < 200)
      return rest.length === 0 ? ((left = EMPTY), null) : readHead(rest)
    keepAliveMs = head.keepAliveMs
    framing = head.framing
    remaining = head.length
    const isEmpty = hasNoBody || head.status === 204 || head.status === 304
    handler.onHead(isEmpty ? { ...head, length: 0 } : head)
    if (isEmpty || (framing === 'length' && remaining === 0)) {
      finish(rest.length)
      handler.onBody(EMPTY, true)
      return null
    }
    state = 'body'
    return rest
  }

  function readLength(bytes: Buffer): void {
    const piece = bytes.length > remaining ? bytes.subarray(0, remaining) : bytes
    remaining -= piece.length
    if (remaining === 0) finish(bytes.length - piece.length)
    handler.onBody(piece, remaining === 0)
  }

  function readChunked(from: Buffer): void {
    let bytes = from
    // One piece is held back, so that the last one can be named as such.
    let held: Buffer = EMPTY
    const emit = (next: Buffer): void => {
      if (held.length > 0) handler.onBody(held, false)
      held = next
    }
    while (bytes.length > 0) {
      if (chunk === 'data') {
        const piece = bytes.length > remaining ? bytes.subarray(0, remaining) : bytes
        remaining -= piece.length
        bytes = bytes.subarray(piece.length)
        emit(piece)
        if (remaining === 0) chunk = 'data-end'
        continue
      }
      const eol = bytes.indexOf('\r\n')
      if (eol < 0) {
        if (bytes.length > 4096) throw new Error('A chunk of an answer has no size')
        break
      }
      const line = bytes.toString('latin1', 0, eol)
      bytes = bytes.subarray(eol + 2)
      if (chunk === 'data-end') chunk = 'size'
      else if (chunk === 'size') {
        remaining = Number.parseInt(line, 16)
        if (!(remaining >= 0)) throw new Error('A chunk of an answer has no size')
        chunk = remaining === 0 ? 'trailer' : 'data'
      } else if (line === '') {
        finish(bytes.length)
        handler.onBody(held, true)
        return
      }
    }
    left = bytes
    if (held.length > 0) handler.onBody(held, false)
  }

  return {
    push(piece) {
      if (state === 'done') throw new Error('Bytes came after the end of an answer')
      let bytes: Buffer | null = left.length === 0 ? piece : Buffer.concat([left, piece])
      left = EMPTY
      if (state === 'head') bytes = readHead(bytes)
      if (bytes === null || bytes.length === 0) return
      if (framing === 'length') readLength(bytes)
      else if (framing === 'chunked') readChunked(bytes)
      else handler.onBody(bytes, false)
    },
    end() {
      if (state === 'done') return true
      if (state !== 'body' || framing !== 'until-close') return false
      finish(0)
      handler.onBody(EMPTY, true)
      return true
    },
    get isDone() {
      return state === 'done'
    },
    get keepAliveMs() {
      return keepAliveMs
    },
  }
}

interface ParsedHead extends ResponseHead {
  readonly framing: Framing
  readonly keepAliveMs: number
}

/** Statuses stand at one place: "HTTP/1.1 200 OK". */
const STATUS_AT = 'HTTP/1.1 '.length

function parseHead(text: string): ParsedHead {
  let eol = endOfLine(text, 0)
  const status = Number(text.slice(STATUS_AT, STATUS_AT + 3))
  const minor = text.charAt(STATUS_AT - 2)
  const isKnown = text.startsWith('HTTP/1.') && (minor === '1' || minor === '0')
  if (!isKnown || text.charAt(STATUS_AT - 1) !== ' ' || !(status >= 100)) {
    throw new Error('An instance does not answer in HTTP/1.1')
  }
  const headers: string[] = []
  let length = -1
  let isChunked = false
  let keepAliveMs = minor === '1' ? DEFAULT_KEEP_ALIVE_MS : 0
  const reason = text.slice(STATUS_AT + 4, eol)
  while (eol < text.length) {
    const from = eol + 2
    eol = endOfLine(text, from)
    const colon = text.indexOf(':', from)
    if (colon <= from || colon >= eol) throw new Error('An answer has a malformed header')
    const name = text.slice(from, colon)
    const value = text.slice(colon + 1, eol).trim()
    headers.push(name, value)
    if (!FRAMING_LENGTHS.has(name.length)) continue
    const lower = name.toLowerCase()
    if (lower === 'content-length') length = Number(value)
    else if (lower === 'transfer-encoding') isChunked = /\bchunked$/i.test(value)
    else if (lower === 'connection' && /\bclose\b/i.test(value)) keepAliveMs = 0
    else if (lower === 'keep-alive' && keepAliveMs > 0) {
      const seconds = Number(/timeout=(\d+)/i.exec(value)?.[1] ?? 5)
      keepAliveMs = Math.max(0, seconds * 1000 - 1000)
    }
  }
  const framing: Framing = isChunked ? 'chunked' : length >= 0 ? 'length' : 'until-close'
  if (framing === 'until-close') keepAliveMs = 0
  return { status, reason, headers, length: isChunked ? -1 : length, framing, keepAliveMs }
}

/** Lengths of the names that say where an answer ends: other names need not be looked at. */
const FRAMING_LENGTHS = new Set(
  ['content-length', 'transfer-encoding', 'connection', 'keep-alive'].map(({ length }) => length),
)

function endOfLine(text: string, from: number): number {
  const at = text.indexOf('\r\n', from)
  return at < 0 ? text.length : at
}
