import { defineTopology, type Topology } from '#core/runtime'
import { FIGURES, figuresWithSquares, flowSource, SQUARES } from './flow-figures.ts'

/** How late a record may come, ms. */
export const GRACE_MS = 5000

/** Count, sum, sum of squares, smallest and largest size per key and window, as `figuresOf` has them. */
export function benchTopology(name: string, input: string, output: string, windowMs: number): Topology {
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
        to: { topic: output, record: 'StreamFeature', row: figuresWithSquares },
      },
    },
  })
}
