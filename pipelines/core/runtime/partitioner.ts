/**
 * murmur2 as Kafka's Java clients compute it (org.apache.kafka.common.utils.Utils.murmur2), so that our keys
 * land where any Java producer would put them.
 */
export function murmur2(key: Uint8Array): number {
  const m = 0x5bd1e995
  const length = key.length
  let h = 0x9747b28c ^ length
  const whole = length >> 2
  for (let i = 0; i < whole; i++) {
    const at = i << 2
    let k =
      (key[at] as number) |
      ((key[at + 1] as number) << 8) |
      ((key[at + 2] as number) << 16) |
      ((key[at + 3] as number) << 24)
    k = Math.imul(k, m)
    k ^= k >>> 24
    h = Math.imul(h, m) ^ Math.imul(k, m)
  }
  const tail = length & ~3
  if (length % 4 === 3) h ^= (key[tail + 2] as number) << 16
  if (length % 4 >= 2) h ^= (key[tail + 1] as number) << 8
  if (length % 4 >= 1) h = Math.imul(h ^ (key[tail] as number), m)
  h ^= h >>> 13
  h = Math.imul(h, m)
  return h ^ (h >>> 15)
}

/** The partition of a key under Kafka's default partitioner. */
export const partitionOf = (key: Uint8Array, partitions: number): number =>
  partitions === 1 ? 0 : (murmur2(key) & 0x7fffffff) % partitions
