import type { AggregateSpec } from './aggregates.ts'
import type { Topology, WindowSpec } from './topology.ts'

const aggregate = (name: string, spec: AggregateSpec) => (name === spec.kind ? name : `${name}=${spec.kind}`)

function shapeOf(w: WindowSpec): string {
  if (w.kind === 'session') return `sessions by gaps of ${w.gapMs} ms, at most ${w.maxLengthMs} ms`
  return w.advanceMs === w.sizeMs ? `tumbling ${w.sizeMs} ms` : `hopping ${w.sizeMs} ms by ${w.advanceMs} ms`
}

/** The topology as text, one line per node: golden files hold it, so that an accidental change is a visible diff. */
export function describe(topology: Topology): string {
  const lines = [`topology ${topology.name}`]
  for (const [name, s] of Object.entries(topology.sources)) {
    lines.push(
      `  source ${name}: ${s.topic} (${s.record}) by ${s.eventTime}, max ahead ${s.maxAheadMs} ms, idle ${s.idleMs} ms`,
    )
    lines.push(`    fields ${s.fields.join(', ')}`)
  }
  for (const [name, w] of Object.entries(topology.windows)) {
    lines.push(`  window ${name}: ${w.from} by ${w.key}, ${shapeOf(w)}, grace ${w.graceMs} ms`)
    lines.push(
      `    keeps ${Object.entries(w.aggregates)
        .map(([n, a]) => aggregate(n, a))
        .join(', ')}`,
    )
    if (w.merge) lines.push(`    partials -> ${w.merge.topic} (${w.merge.partitions})`)
    lines.push(`    -> ${w.to.topic} (${w.to.record})`)
  }
  for (const [name, r] of Object.entries(topology.rounds)) {
    lines.push(
      `  round ${name}: ${r.scope === 'all' ? 'one task for all partitions' : 'a task per partition'}, snapshot every ${r.snapshotEvery}`,
    )
    for (const [input, i] of Object.entries(r.inputs)) {
      const writers = i.writers
        .map((w) => `${w.node}[${w.aligned ? 'same partition' : w.partitionsOf}]`)
        .join(', ')
      lines.push(`    <- ${input}: ${i.topic} (${i.record}) by ${i.time}, waits for ${writers}`)
    }
    for (const [output, o] of Object.entries(r.outputs))
      lines.push(`    -> ${output}: ${o.topic} (${o.record})${o.marked ? ', marked' : ''}`)
  }
  return `${lines.join('\n')}\n`
}
