import { Buffer } from 'node:buffer'
import { fmix32, fnv1a } from '#core/math'
import { ForestallError } from '#core/ports'

/** What a session has written: per partition of the write log, the offset that a replica must have come to. */
export type Positions = ReadonlyMap<number, number>

const VERSION = 2
const HEAD_BYTES = 5

/** Version and a hash of the log's name: positions mean nothing in another log. */
function headOf(log: string): number[] {
  const name = Buffer.from(log)
  const hash = fmix32(fnv1a(name, 0, name.length))
  return [VERSION, hash >>> 24, (hash >>> 16) & 255, (hash >>> 8) & 255, hash & 255]
}

/**
 * Session tokens: a vector of positions in a log as opaque text that fits into headers and URLs unescaped. The bytes are
 * a version, four of the log's name, then partition and offset of each entry as varints, in base64url.
 */
export function encodeToken(positions: Positions, log: string): string {
  const bytes = headOf(log)
  for (const [partition, next] of [...positions].sort(([a], [b]) => a - b)) {
    putVarint(bytes, partition)
    putVarint(bytes, next)
  }
  return Buffer.from(bytes).toString('base64url')
}

/**
 * The positions of a token, or of several with commas between them (the furthest of each partition counts).
 * Throws REQUEST_INVALID for anything that is none of this log.
 */
export function decodeTokens(text: string, log: string): Map<number, number> {
  const head = headOf(log)
  const positions = new Map<number, number>()
  for (const part of text.split(',')) mergePositions(positions, decodeToken(part.trim(), head))
  return positions
}

/** Moves `into` forward to whatever `from` has further. */
export function mergePositions(into: Map<number, number>, from: Positions): void {
  for (const [partition, next] of from) into.set(partition, Math.max(next, into.get(partition) ?? 0))
}

function decodeToken(text: string, head: readonly number[]): Positions {
  const bytes = /^[A-Za-z0-9_-]+$/.test(text) ? Buffer.from(text, 'base64url') : Buffer.alloc(0)
  const positions = new Map<number, number>()
  if (head.some((byte, i) => bytes[i] !== byte)) throw invalid(text)
  for (let at = HEAD_BYTES; at < bytes.length; ) {
    const partition = getVarint(bytes, at, text)
    const next = getVarint(bytes, partition.end, text)
    positions.set(partition.value, next.value)
    at = next.end
  }
  return positions
}

function putVarint(bytes: number[], value: number): void {
  let rest = value
  while (rest >= 128) {
    bytes.push((rest % 128) + 128)
    rest = Math.floor(rest / 128)
  }
  bytes.push(rest)
}

function getVarint(bytes: Uint8Array, from: number, text: string): { value: number; end: number } {
  let value = 0
  let scale = 1
  for (let at = from; at < bytes.length && at < from + 8; at++) {
    const byte = bytes[at] as number
    value += (byte & 127) * scale
    if (byte < 128 && Number.isSafeInteger(value)) return { value, end: at + 1 }
    scale *= 128
  }
  throw invalid(text)
}

const invalid = (text: string): ForestallError =>
  new ForestallError('REQUEST_INVALID', `"${text.slice(0, 60)}" is no session token of this log.`)
