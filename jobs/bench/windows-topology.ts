import { defineTopology, type Topology } from '#core/runtime'
import { FIGURES, figuresWithSquares, flowSource, SQUARES } from './flow-figures.ts'

/** How late a record may come, ms. */
export const GRACE_MS = 5000

/**
 * Count, sum, sum of squares, smallest and largest size per key and window, as `figuresOf` has them. With `merge` a key
 * may come from every partition.
 */
export function benchTopology(
  name: string,
  input: string,
  output: string,
  windowMs: number,
  merge?: { readonly topic: string; readonly partitions: number },
): Topology {
  return defineTopology({
    name,
    sources: { flows: flowSource(input, 600_000) },
    windows: {
      streams: {
        from: 'flows',
        key: 'stream',
        sizeMs: windowMs,
        advanceMs: windowMs,
        graceMs: GRACE_MS,
        aggregates: { ...FIGURES, ...SQUARES },
        ...(merge === undefined ? {} : { merge }),
        to: { topic: output, record: 'StreamFeature', row: figuresWithSquares },
      },
    },
  })
}
