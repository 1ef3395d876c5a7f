/**
 * A stream's flows lie on a ring of 2^32 hash values; a shard is every flow whose hash begins with the same bits.
 * Nodes of the binary trie are numbered like a heap: the root is 1, node (depth, prefix) is 2^depth + prefix,
 * its halves are twice that number and one more.
 */

/** Deepest prefix that a shard may have, bits. */
export const MAX_DEPTH = 12

/** Depth of an entry that holds one flow only (its whole hash): what an elephant gets. */
export const FLOW_DEPTH = 32

/** Number of leaves of the trie. */
export const LEAVES = 1 << MAX_DEPTH

/** Stable name of a shard while it exists: `stream/depth/prefix`. */
export const shardId = (stream: string, depth: number, prefix: number): string =>
  `${stream}/${depth}/${prefix}`

/** Share of the ring that a prefix of `depth` bits covers, 0..1. */
export const hashSpace = (depth: number): number => 2 ** -depth

/** The leading `depth` bits (0..32) of a 32-bit hash. */
export const prefixOf = (hash32: number, depth: number): number => (depth === 0 ? 0 : hash32 >>> (32 - depth))

/** The prefix of `depth` bits that covers a prefix of `fromDepth` >= `depth` bits. */
export const ancestorPrefix = (prefix: number, fromDepth: number, depth: number): number =>
  Math.floor(prefix / 2 ** (fromDepth - depth))
