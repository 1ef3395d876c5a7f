import { defineTopology, type Topology } from '#core/runtime'
import type { SchemaRegistry } from '#core/ports'
import { AVRO } from '#schemas'
import { createMemoryRegistry } from '../../pipelines/core/runtime/testing/memory-registry.ts'
import { FIGURES, figuresOf, flowSource } from './flow-figures.ts'

/** A topology whose input is written while it runs. */
export interface LiveTopologyOptions {
  readonly name: string
  readonly input: string
  readonly output: string
  readonly windowMs: number
  readonly graceMs: number
  /** Internal topic where partial aggregates of all source partitions meet; '': keys follow the partitions. */
  readonly partials: string
  readonly partitions: number
}

/** Count, sum, smallest and largest per key and window. */
export function liveTopology(options: LiveTopologyOptions): Topology {
  const { name, input, output, windowMs, graceMs, partials, partitions } = options
  return defineTopology({
    name,
    sources: { flows: flowSource(input, 60_000) },
    windows: {
      streams: {
        from: 'flows',
        key: 'stream',
        sizeMs: windowMs,
        advanceMs: windowMs,
        graceMs,
        aggregates: FIGURES,
        ...(partials === '' ? {} : { merge: { topic: partials, partitions } }),
        to: { topic: output, record: 'StreamFeature', row: (w) => figuresOf(w, 0) },
      },
    },
  })
}

/** All records, registered in the same order in every process: a registry that needs no server. */
export async function knownRegistry(): Promise<SchemaRegistry> {
  const registry = createMemoryRegistry()
  for (const [name, schema] of Object.entries(AVRO)) await registry.register(name, schema)
  return registry
}
