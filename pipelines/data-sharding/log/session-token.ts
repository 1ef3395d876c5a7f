import { Buffer } from 'node:buffer'
import { ForestallError } from '#core/ports'

/** What a session has written: per partition of the write log, the offset that a replica must have come to. */
export type Positions = ReadonlyMap<number, number>

const VERSION = 1

/**
 * Session tokens: a vector of log positions as opaque text that fits into headers and URLs unescaped. The bytes are a
 * version, then partition and offset of each entry as varints, in base64url.
 */
export function encodeToken(positions: Positions): string {
  const bytes: number[] = [VERSION]
  for (const [partition, next] of [...positions].sort(([a], [b]) => a - b)) {
    putVarint(bytes, partition)
    putVarint(bytes, next)
  }
  return Buffer.from(bytes).toString('base64url')
}

/**
 * The positions of a token, or of several with commas between them (the furthest of each partition counts).
 * Throws REQUEST_INVALID for anything that is none.
 */
export function decodeTokens(text: string): Map<number, number> {
  const positions = new Map<number, number>()
  for (const part of text.split(',')) mergePositions(positions, decodeToken(part.trim()))
  return positions
}

/** Moves `into` forward to whatever `from` has further. */
export function mergePositions(into: Map<number, number>, from: Positions): void {
  for (const [partition, next] of from) into.set(partition, Math.max(next, into.get(partition) ?? 0))
}

function decodeToken(text: string): Positions {
  const bytes = /^[A-Za-z0-9_-]+$/.test(text) ? Buffer.from(text, 'base64url') : Buffer.alloc(0)
  const positions = new Map<number, number>()
  if (bytes[0] !== VERSION) throw invalid(text)
  for (let at = 1; at < bytes.length; ) {
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
