import type { Metrics } from '#core/evaluation'
import { LATE_SHARE } from '../config.ts'
import { ScalePolicy } from '../scale-policy.ts'
import { LatencySum, queueStep } from './score.ts'
import { totalsOf, type Trace } from './trace.ts'

const STATIC = 10
const MOST = 12
const FULL = 9
const REACTIVE = 0.7
const PROACTIVE = 0.9
const PATIENCE = 4

/** How many instances are wanted, asked at the start of step t from the loads before it. */
type Wanted = (t: number) => number

interface Context {
  readonly trace: Trace
  readonly totals: Float64Array
  readonly capacity: number
}

const clamp = (n: number) => Math.min(MOST, Math.max(1, n))

function run({ trace, totals, capacity }: Context, wanted: Wanted, isInstant = false): Metrics {
  const latency = new LatencySum()
  const pending: { at: number; n: number }[] = []
  const recent = Array.from({ length: PATIENCE - 1 }, (_, k) => clamp(wanted(trace.t0 - PATIENCE + 1 + k)))
  let up = STATIC
  let [hours, overloads, over, changes, backlog] = [0, 0, 0, 0, 0]
  for (let t = trace.t0; t < trace.steps; t++) {
    const want = clamp(wanted(t))
    const before = up
    recent.push(want)
    if (recent.length > PATIENCE) recent.shift()
    while (pending.length > 0 && pending[0]!.at <= t) up = Math.max(up, pending.shift()!.n)
    const most = recent.reduce((a, b) => Math.max(a, b), 0)
    if (isInstant) up = want
    else if (want > up) pending.push({ at: t + trace.leadSteps, n: want })
    else if (most < up) up = most
    if (up !== before) changes++
    const load = totals[t]!
    const served = queueStep(load, up * capacity, backlog)
    backlog = served.after
    latency.add(served.latency, load)
    hours += up
    if (load > up * capacity) overloads++
    over += Math.max(0, load - up * capacity)
  }
  const steps = trace.steps - trace.t0
  return {
    hoursPercent: (100 * hours) / steps / STATIC,
    overloadStepsPercent: (100 * overloads) / steps,
    workOverPercent: (100 * over) / latency.total,
    workOverSloPercent: (100 * latency.overSlo) / latency.total,
    changedStepsPercent: (100 * changes) / steps,
  }
}

/** Our scaler, the same code that runs live. */
function ours(context: Context): Wanted {
  const { trace, totals, capacity } = context
  const announced = announcedTotals(trace)
  const policy = new ScalePolicy({
    day: trace.day,
    week: trace.week,
    leadSteps: trace.leadSteps,
    patience: PATIENCE,
    lateShare: trace.lateShare ?? LATE_SHARE,
    capacity,
    min: 1,
    max: MOST,
    announced: (step) => announced[step] ?? 0,
  })
  const wanted = new Float64Array(trace.steps)
  for (let t = 0; t < trace.steps; t++) {
    wanted[t] = t > 0 ? policy.wanted().instances : 1
    policy.observe(totals[t]!)
  }
  return (t) => wanted[t]!
}

function announcedTotals(trace: Trace): Float64Array {
  const announced = new Float64Array(trace.steps)
  if (trace.calendar !== null)
    for (let at = 0; at < trace.calendar.length; at++)
      announced[Math.floor(at / trace.segments)]! += trace.calendar[at]!
  return announced
}

/** Every scaling plan of the page, and ours. */
export function scalingPlans(trace: Trace): { plan: string; metrics: Metrics }[] {
  const totals = totalsOf(trace)
  const capacity = totals.subarray(trace.t0).reduce((a, b) => Math.max(a, b), 0) / FULL
  const context = { trace, totals, capacity }
  const need = (load: number, level: number) => Math.ceil(load / (level * capacity) - 1e-9)
  const reactive: Wanted = (t) => need(totals[t - 1]!, REACTIVE)
  const past =
    (period: number): Wanted =>
    (t) =>
      need(totals[Math.max(0, t + trace.leadSteps - period)]!, REACTIVE)
  const most =
    (a: Wanted, b: Wanted): Wanted =>
    (t) =>
      Math.max(a(t), b(t))
  const day = past(trace.day)
  const week = past(trace.week)
  const row = (plan: string, wanted: Wanted, isInstant = false) => ({
    plan,
    metrics: run(context, wanted, isInstant),
  })
  return [
    row('static peak', () => STATIC, true),
    row('reactive 70 %', reactive),
    row('last day same hour 70 %', day),
    row('max(reactive, last day same hour)', most(reactive, day)),
    row('last week same hour 70 %', week),
    row('max(reactive, last week same hour)', most(reactive, week)),
    row('clairvoyant 90 %', (t) => need(totals[t]!, PROACTIVE), true),
    row('ours', ours(context)),
  ]
}
