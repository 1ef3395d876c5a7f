import { Buffer } from 'node:buffer'
import { isIPv6 } from 'node:net'
import { parseAddress } from '../../../../pipelines/core/codec/index.ts'

/** A protobuf varint. */
export function varint(value: bigint): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return Buffer.from([...bytes, Number(rest)])
}

/** A protobuf message: numbers as varints, bytes with their length, by field number. */
export const message = (fields: Record<number, bigint | Buffer>): Buffer =>
  Buffer.concat(
    Object.entries(fields).map(([number, value]) =>
      typeof value === 'bigint'
        ? Buffer.concat([varint(BigInt(number) * 8n), varint(value)])
        : Buffer.concat([varint(BigInt(number) * 8n + 2n), varint(BigInt(value.length)), value]),
    ),
  )

/** The bytes of an address, 16 wherever the text has colons, as exporters send IPv4 written as IPv6. */
export function address(text: string): Buffer {
  const bytes = parseAddress(text) ?? Buffer.alloc(0)
  return isIPv6(text) && bytes.length === 4
    ? Buffer.concat([Buffer.alloc(10), Buffer.from([255, 255]), bytes])
    : bytes
}
