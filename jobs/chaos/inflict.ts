import { createPause, type Pause, systemTimers } from '#core/ports'
import { doHarm, type Victims } from './harms.ts'
import type { ChaosPlan, Fault, Harm, Lane } from './schedule.ts'
import { faultWords } from './words.ts'

/** How often each harm was done; those to brokers by role, those to networks by kind. */
export type HarmCounts = Readonly<Record<string, number>>

/** Nobody waits for a worker that does not come back: the end of the run will tell. */
const SETTLE_LIMIT_MS = 60_000

/** Carries a schedule out: the faults of a lane one after another, the lanes side by side. */
export async function inflict(
  plan: ChaosPlan,
  victims: Victims,
  stopped?: Promise<void>,
): Promise<HarmCounts> {
  const counts: Record<string, number> = {}
  const pauses = plan.lanes.map(() => createPause(systemTimers))
  const load = createPause(systemTimers)
  const state = { over: false }
  const end = (): void => {
    state.over = true
    for (const pause of [...pauses, load]) pause.end()
  }
  void stopped?.then(end)
  const run = async (lane: Lane, pause: Pause): Promise<void> => {
    for (const fault of lane.faults) {
      await settle(victims, fault)
      await pause.wait(fault.gapMs)
      if (state.over) return
      const name = nameOf(fault)
      if (await suffer(victims, fault, pause)) counts[name] = (counts[name] ?? 0) + 1
    }
  }
  try {
    const lanes = plan.lanes.map((lane, i) => run(lane, pauses[i] ?? load))
    await Promise.all([load.wait(plan.leastLoadMs), ...lanes])
  } finally {
    end()
  }
  return counts
}

const nameOf = (harm: Harm): string => {
  if (harm.kind === 'network') return `network ${harm.fault.kind}`
  const ofRole = harm.kind === 'kill broker' || harm.kind === 'stop broker'
  return ofRole && harm.role !== 'any' ? `${harm.kind} ${harm.role}` : harm.kind
}

async function settle({ workers }: Victims, fault: Fault): Promise<void> {
  if (fault.settled !== true || !('slot' in fault)) return
  const limit = createPause(systemTimers)
  const worker = workers.find(({ slot }) => slot === fault.slot)
  await Promise.race([worker?.ready(), limit.wait(SETTLE_LIMIT_MS)])
  limit.end()
}

/** Does a fault and heals it; false if it could not be done. */
async function suffer(victims: Victims, fault: Fault, pause: Pause): Promise<boolean> {
  const done = await doHarm(victims, fault)
  if (done === null) return false
  victims.onEvent(`${faultWords(fault)}${done.found === '' ? '' : `: ${done.found}`}`)
  await pause.wait(fault.forMs)
  await done.heal()
  return true
}
