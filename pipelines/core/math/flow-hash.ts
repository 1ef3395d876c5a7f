import { fmix32 } from './hash.ts'

const PRIME = 0x01000193

/**
 * Where a flow lies on a ring of 2^32: FNV-1a over source address bytes, destination address bytes, source port and
 * destination port (big-endian) and the protocol byte, finished by murmur3's mixer so that the leading bits are even.
 * Directed: the answer of a flow has a hash of its own. Addresses are 4 or 16 bytes, ports 0 if unknown.
 */
export function hashFiveTuple(
  source: Uint8Array,
  destination: Uint8Array,
  sourcePort: number,
  destinationPort: number,
  protocol: number,
): number {
  let h = 0x811c9dc5
  for (let i = 0; i < source.length; i++) h = Math.imul(h ^ source[i]!, PRIME)
  for (let i = 0; i < destination.length; i++) h = Math.imul(h ^ destination[i]!, PRIME)
  h = Math.imul(h ^ ((sourcePort >>> 8) & 0xff), PRIME)
  h = Math.imul(h ^ (sourcePort & 0xff), PRIME)
  h = Math.imul(h ^ ((destinationPort >>> 8) & 0xff), PRIME)
  h = Math.imul(h ^ (destinationPort & 0xff), PRIME)
  return fmix32(Math.imul(h ^ (protocol & 0xff), PRIME))
}
