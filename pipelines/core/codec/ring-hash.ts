const FNV_OFFSET = 0x811c9dc5
const FNV_PRIME = 0x01000193

/**
 * Where a flow lies on the ring of its stream, 0..2^32-1: FNV-1a over source, destination, protocol and both
 * ports (big-endian), finished with murmur3's fmix32, since shards are cut by the leading bits and FNV-1a mixes
 * those badly. Telemetry and data planes must agree on it, so it never changes.
 */
export function fiveTupleHash(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  sourcePort: number,
  destinationPort: number,
): number {
  let h = FNV_OFFSET
  for (let i = 0; i < source.length; i++) h = Math.imul(h ^ (source[i] as number), FNV_PRIME)
  for (let i = 0; i < destination.length; i++) h = Math.imul(h ^ (destination[i] as number), FNV_PRIME)
  h = Math.imul(h ^ (protocol & 255), FNV_PRIME)
  h = Math.imul(h ^ (sourcePort >>> 8), FNV_PRIME)
  h = Math.imul(h ^ (sourcePort & 255), FNV_PRIME)
  h = Math.imul(h ^ (destinationPort >>> 8), FNV_PRIME)
  return fmix32(Math.imul(h ^ (destinationPort & 255), FNV_PRIME))
}

function fmix32(value: number): number {
  let h = value ^ (value >>> 16)
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
