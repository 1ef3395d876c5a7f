import { noEffects } from '../events/index.ts'
import type { SeriesModel } from './series-model.ts'

/** A series that a new one may learn from. */
export interface Donor {
  readonly key: string
  readonly entity: string
  readonly model: SeriesModel
}

/** Most donors whose profiles are averaged. */
const MOST_DONORS = 8
/** What a borrowed spread is multiplied by: another series is not this one. */
const CAUTION = 2

/**
 * What a new series starts from: the model of the nearest donor, the mean profile of the nearest few and their effects of events.
 * Near means alike in scale-free features where the series has some, and else of the same pool: names that begin or end alike.
 * The spread covers what donors differ by. Undefined without a donor that has a model of its own.
 */
export function startFrom(
  entity: string,
  stepMs: number,
  donors: Iterable<Donor>,
  features?: Float64Array,
): SeriesModel | undefined {
  const own = [...donors].filter(({ model, entity: other }) => model.similarTo === '' && other !== entity)
  const near = features
    ? own.map((donor) => ({ donor, distance: distance(features, donor.model.features) }))
    : own.map((donor) => ({ donor, distance: -alike(entity, donor.entity) }))
  near.sort((a, b) => a.distance - b.distance || (a.donor.key < b.donor.key ? -1 : 1))
  const chosen = near.slice(0, MOST_DONORS).map(({ donor }) => donor)
  const [first] = chosen
  if (first === undefined) return undefined
  const profiles = chosen.filter(
    ({ model }) => model.profile.length > 0 && model.profileMs === first.model.profileMs,
  )
  const profile = meanProfile(profiles.map(({ model }) => model.profile))
  return {
    model: first.model.model,
    version: 0,
    points: first.model.points,
    trainedThroughMs: Math.max(...chosen.map((donor) => donor.model.trainedThroughMs)),
    effects: {
      ...noEffects(entity, stepMs, first.model.effects.scale),
      effects: first.model.effects.effects,
    },
    profile,
    profileMs: first.model.profileMs,
    spread: CAUTION * Math.hypot(first.model.spread, disagreement(profile, profiles)),
    features: features ?? new Float64Array(0),
    similarTo: first.key,
  }
}

/** Shared beginning and end of two names, in characters. */
function alike(a: string, b: string): number {
  const most = Math.min(a.length, b.length)
  let begin = 0
  while (begin < most && a[begin] === b[begin]) begin++
  let end = 0
  while (end < most - begin && a[a.length - 1 - end] === b[b.length - 1 - end]) end++
  return begin + end
}

function distance(a: Float64Array, b: Float64Array): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY
  let sum = 0
  a.forEach((value, i) => {
    sum += (value - (b[i] as number)) ** 2
  })
  return sum
}

function meanProfile(profiles: readonly Float64Array[]): Float64Array {
  const [first] = profiles
  if (first === undefined) return new Float64Array(0)
  const same = profiles.filter((profile) => profile.length === first.length)
  return first.map((_, bin) => same.reduce((sum, profile) => sum + (profile[bin] as number), 0) / same.length)
}

/** Root mean square distance of the donors' profiles from their mean. */
function disagreement(mean: Float64Array, donors: readonly Donor[]): number {
  let sum = 0
  let n = 0
  for (const { model } of donors) {
    if (model.profile.length !== mean.length) continue
    mean.forEach((value, bin) => {
      sum += ((model.profile[bin] as number) - value) ** 2
      n++
    })
  }
  return n > 0 ? Math.sqrt(sum / n) : 0
}
