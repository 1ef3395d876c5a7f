import { compressionsAlgorithms } from '@platformatic/kafka'
import kafkajs from 'kafkajs'

const { CompressionCodecs, CompressionTypes } = kafkajs

/** What kafkajs hands to `compress`. */
interface Encoder {
  buffer: Buffer
}

function isMissing(factory: () => unknown): boolean {
  try {
    factory()
    return false
  } catch {
    return true
  }
}

/**
 * Teaches kafkajs the codecs that it lacks (snappy, lz4, zstd): our own producers write lz4 by default.
 * Codecs that the process has registered itself stay.
 */
export function registerCodecs(): void {
  const missing = [
    [CompressionTypes.Snappy, compressionsAlgorithms.snappy],
    [CompressionTypes.LZ4, compressionsAlgorithms.lz4],
    [CompressionTypes.ZSTD, compressionsAlgorithms.zstd],
  ] as const
  for (const [type, algorithm] of missing) {
    if (!isMissing(CompressionCodecs[type])) continue
    CompressionCodecs[type] = () => ({
      compress: async (encoder: Encoder) => algorithm.compressSync(encoder.buffer),
      decompress: async (buffer: Buffer) => algorithm.decompressSync(buffer),
    })
  }
}
