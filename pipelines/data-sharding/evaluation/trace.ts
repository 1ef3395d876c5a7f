/** Work by segment, step by step, as a service met it, with what was known in advance. */
export interface Trace {
  readonly name: string
  readonly segments: number
  readonly instances: number
  readonly steps: number
  /** Work at `step * segments + segment`. */
  readonly work: Float64Array
  /** Announced in advance (campaigns, schedules), in the same form; null where there is no calendar. */
  readonly calendar: Float64Array | null
  /** Step from which plans run. */
  readonly start: number
  /** First step that is scored. */
  readonly t0: number
  /** Steps of a day and of a week. */
  readonly day: number
  readonly week: number
  /** Steps until an instance that was asked for is up. */
  readonly leadSteps: number
  /** Share of the work that may be late: what the protocol allows here; that of the configuration where it is left out. */
  readonly lateShare?: number
  /** Expected work including flash crowds, and with flash crowds known only after two steps: generated traces only. */
  readonly intensity?: { readonly true: Float64Array; readonly seen: Float64Array }
}

/** The work of one step. */
export const workAt = (trace: Trace, step: number): Float64Array =>
  trace.work.subarray(step * trace.segments, (step + 1) * trace.segments)

/** Total work by step. */
export function totalsOf(trace: Trace): Float64Array {
  const totals = new Float64Array(trace.steps)
  for (let t = 0; t < trace.steps; t++) totals[t] = workAt(trace, t).reduce((sum, y) => sum + y, 0)
  return totals
}
