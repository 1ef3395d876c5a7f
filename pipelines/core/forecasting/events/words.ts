import { type EventEffects, eventForce } from './effects.ts'
import type { KnownEvent } from './known.ts'

const PARTS = 24

/**
 * What an event is expected to do, in words: `+310 %, 4 of 5 earlier ones`, at its strongest; undefined if nothing was learnt of its kind.
 * `scale`: unit for effects that add.
 */
export function effectInWords(effects: EventEffects, event: KnownEvent): string | undefined {
  const learnt =
    effects.effects.find((e) => e.kind === event.kind && e.scope === event.scope) ??
    effects.effects.find((e) => e.kind === event.kind)
  if (learnt === undefined) return undefined
  let strongest = 0
  for (let part = 0; part <= PARTS; part++) {
    const atMs =
      event.validFromMs + ((event.validToMs - event.validFromMs) * part) / PARTS + effects.stepMs / 2
    const { centre } = eventForce(effects, [event], atMs)
    if (Math.abs(centre) > Math.abs(strongest)) strongest = centre
  }
  const size =
    effects.scale === 'log'
      ? `${Math.round(100 * Math.expm1(strongest))} %`
      : strongest.toPrecision(3).replace(/\.?0+$/, '')
  const sign = strongest > 0 ? '+' : ''
  return `${sign}${size}, ${learnt.agreeing} of ${learnt.occurrences} earlier ones`
}
