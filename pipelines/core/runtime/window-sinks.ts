import { AggregatePlan } from './aggregate-columns.ts'
import { partialEmitter } from './partial-blocks.ts'
import { slicePlan, sliceShape } from './session-shape.ts'
import { SessionSink } from './session-sink.ts'
import type { TaskContext } from './task.ts'
import type { SourceSpec, Topology } from './topology.ts'
import { rowEmitter, rowWriter, type SourceSink, WindowSink } from './window-sink.ts'

/** The window sinks of a source's task. */
export function createWindowSinks(
  topology: Topology,
  source: string,
  partition: number,
  context: TaskContext,
): SourceSink[] {
  const { fields, eventTime } = topology.sources[source] as SourceSpec
  return Object.entries(topology.windows)
    .filter(([, spec]) => spec.from === source)
    .map(([name, spec]) => {
      const keySlot = fields.indexOf(spec.key)
      const rows = () => rowWriter(topology, name, partition, context)
      const partials = () => partialEmitter(topology, name, partition, context)
      if (spec.kind !== 'session') {
        const plan = new AggregatePlan(Object.values(spec.aggregates))
        return new WindowSink(spec, plan, keySlot, context, spec.merge ? partials() : rowEmitter(rows()))
      }
      const plan = slicePlan(spec.aggregates, fields.indexOf(eventTime))
      return spec.merge
        ? new WindowSink(sliceShape(spec), plan, keySlot, context, partials())
        : new SessionSink(spec, plan, keySlot, context, rows())
    })
}
