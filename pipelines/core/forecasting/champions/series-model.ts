import type { Model, ModelEffect } from '#schemas'
import { type EventEffects, type LearntEffect, noEffects } from '../events/index.ts'

/** What a live forecaster takes from a Model record. */
export interface SeriesModel {
  /** Name of the model that stands at every fit. */
  readonly model: string
  /** Higher supersedes. */
  readonly version: number
  /** It rests on nothing later, ms: before, it must not be used (replays). */
  readonly trainedThroughMs: number
  /** Finite values it was chosen on: once a live history has twice as many, each fit chooses again until a new champion comes. */
  readonly points: number
  readonly effects: EventEffects
  /** Mean course over a season as log ratios to the level; empty: none. */
  readonly profile: Float64Array
  /** Length of that season, ms. */
  readonly profileMs: number
  /** Standard deviation of a step, as a log ratio. */
  readonly spread: number
  /** Scale-free features: what similar means. */
  readonly features: Float64Array
  /** The series it was borrowed from; '' if it is its own. */
  readonly similarTo: string
}

/** Key of the records of a series in `models`. */
export const modelKey = (scope: string, entity: string, metric: string): string =>
  `${scope}|${entity}|${metric}`

/** Reads a record of `models` about a series. */
export function seriesModel(record: Model): SeriesModel {
  return {
    model: record.model,
    version: record.version,
    trainedThroughMs: record.trained_through_ms,
    points: record.points,
    effects: {
      ...noEffects(record.entity, record.step_ms, record.effect_scale === 'linear' ? 'linear' : 'log'),
      effects: record.effects.map(learntEffect),
    },
    profile: Float64Array.from(record.profile),
    profileMs: (record.seasons[0] ?? 0) * record.step_ms,
    spread: record.spread,
    features: Float64Array.from(record.features),
    similarTo: record.similar_to,
  }
}

function learntEffect(effect: ModelEffect): LearntEffect {
  const [lead = 0, during = 1, decay = 0] = effect.cuts
  return {
    kind: effect.kind,
    scope: effect.scope,
    shape: { leadMs: effect.lead_ms, decayMs: effect.decay_ms, cuts: [lead, during, decay] },
    occurrences: effect.occurrences,
    agreeing: effect.agreeing,
    centre: Float64Array.from(effect.centre),
    spread: Float64Array.from(effect.spread),
    widen: effect.widen,
  }
}

/** The effects of a series as its record carries them. */
export const recordEffects = ({ effects }: EventEffects): ModelEffect[] =>
  effects.map((effect) => ({
    kind: effect.kind,
    scope: effect.scope,
    lead_ms: Math.round(effect.shape.leadMs),
    decay_ms: Math.round(effect.shape.decayMs),
    cuts: [...effect.shape.cuts],
    occurrences: effect.occurrences,
    agreeing: effect.agreeing,
    centre: [...effect.centre],
    spread: [...effect.spread],
    widen: effect.widen,
  }))
