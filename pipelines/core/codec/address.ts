import { Buffer } from 'node:buffer'

const V4_BYTES = 4
const V6_BYTES = 16
const V6_GROUPS = 8

/** The bytes of an IP address in text form: 4 or 16; 4 for IPv4 written as IPv6 (`::ffff:10.0.0.1`). Null if it is none. */
export function parseAddress(text: string): Buffer | null {
  if (!text.includes(':')) return parseV4(text)
  const v6 = parseV6(text)
  return v6 === null ? null : unmap(v6)
}

/** An address as bytes, IPv4 written as IPv6 cut down to 4: one host, one form, whatever the exporter. */
export function unmap(bytes: Buffer): Buffer {
  if (bytes.length !== V6_BYTES || bytes.readUInt16BE(10) !== 0xffff) return bytes
  return bytes.readUInt32BE(0) === 0 && bytes.readUInt32BE(4) === 0 && bytes.readUInt16BE(8) === 0
    ? bytes.subarray(12)
    : bytes
}

/** Text form of 4 or 16 bytes, IPv6 as RFC 5952 has it; '' for any other length. */
export function formatAddress(bytes: Buffer): string {
  if (bytes.length === V4_BYTES) return `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}`
  if (bytes.length !== V6_BYTES) return ''
  const groups = Array.from({ length: V6_GROUPS }, (_, i) => bytes.readUInt16BE(2 * i))
  const [start, length] = longestZeros(groups)
  const text = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((g) => g.toString(16))
      .join(':')
  return length < 2 ? text(0, V6_GROUPS) : `${text(0, start)}::${text(start + length, V6_GROUPS)}`
}

function longestZeros(groups: readonly number[]): [start: number, length: number] {
  let best: [number, number] = [0, 0]
  let start = 0
  groups.forEach((group, i) => {
    if (group !== 0) start = i + 1
    else if (i + 1 - start > best[1]) best = [start, i + 1 - start]
  })
  return best
}

function parseV4(text: string): Buffer | null {
  const parts = text.split('.')
  if (parts.length !== V4_BYTES || !parts.every((p) => /^\d{1,3}$/.test(p) && Number(p) <= 255)) return null
  return Buffer.from(parts.map(Number))
}

function parseV6(text: string): Buffer | null {
  const halves = text.split('::')
  if (halves.length > 2) return null
  const [head, tail] = halves.map((half, i) => parseGroups(half, i === halves.length - 1))
  if (head === undefined || head === null || tail === null) return null
  if (tail === undefined) return head.length === V6_GROUPS ? groupBytes(head) : null
  const zeros = V6_GROUPS - head.length - tail.length
  return zeros < 1 ? null : groupBytes([...head, ...Array.from({ length: zeros }, () => 0), ...tail])
}

/** 16-bit groups of a part without `::`; at the end of the last one a dotted IPv4 address may stand. */
function parseGroups(part: string, isLast: boolean): number[] | null {
  if (part === '') return []
  const groups: number[] = []
  const words = part.split(':')
  for (const [i, word] of words.entries()) {
    const v4 = isLast && i === words.length - 1 ? parseV4(word) : null
    if (v4 !== null) groups.push(v4.readUInt16BE(0), v4.readUInt16BE(2))
    else if (/^[0-9a-fA-F]{1,4}$/.test(word)) groups.push(Number.parseInt(word, 16))
    else return null
  }
  return groups
}

function groupBytes(groups: readonly number[]): Buffer {
  const bytes = Buffer.alloc(V6_BYTES)
  groups.forEach((g, i) => bytes.writeUInt16BE(g, 2 * i))
  return bytes
}
