import { asideNames, letGo, type StepDeps, type StepResult } from './phases.ts'

/**
 * How a move ends one of whose instances has been taken out of the configuration; null if both are there. An instance
 * that only does not answer is waited for instead.
 */
export async function endingWithout(
  deps: StepDeps,
  isConfigured: (name: string) => boolean,
): Promise<StepResult | null> {
  const { kind, from, to, phase } = deps.state
  const isFromGone = !isConfigured(from)
  const isToGone = kind !== 'drop' && !isConfigured(to)
  if (!isFromGone && !isToGone) return null
  const reason = `${[...(isFromGone ? [from] : []), ...(isToGone ? [to] : [])].join(' and ')} is no instance any more`
  if (phase === 'switched' || phase === 'dropping' || phase === 'reversing')
    return { phase: isFromGone ? 'done' : 'reversed', reason }
  if (!isToGone && kind !== 'drop') {
    // What came along is kept if it is all that there is.
    if (deps.others().length > 0 && deps.to !== null) await letGo(deps, deps.to)
    for (const name of asideNames(deps.state)) await deps.to?.store.discard(name)
  }
  if (!isFromGone) for (const name of asideNames(deps.state)) await deps.from.store.discard(name)
  return { phase: 'failed', reason }
}
