import { Buffer } from 'node:buffer'
import type { Model } from '#schemas'
import {
  modelKey,
  recordEffects,
  type Selection,
  type SeriesModel,
  startFrom,
  type Donor,
} from '#core/forecasting'
import type { SeriesToTrain } from './series-source.ts'

/** Shorter histories have no champion of their own yet: they start from a similar series. */
const OWN_FROM = 48

/** What a record is made of. */
export interface RecordInput {
  readonly series: SeriesToTrain
  readonly seasons: readonly number[]
  readonly selection: Selection
  /** The champion that stands. */
  readonly standing: SeriesModel | undefined
  readonly donors: readonly Donor[]
  /** End of the history's last window, ms, and its number of steps. */
  readonly lastMs: number
  readonly steps: number
  readonly nowMs: number
}

/** Key of the record of a series. */
export const keyOf = ({ scope, entity, metric }: SeriesToTrain): string => modelKey(scope, entity, metric)

/** The record of a champion; undefined for a series that is too young for one and has nobody to start from: its own fits choose best. */
export function modelRecord(input: RecordInput): Model | undefined {
  const { series, seasons, selection, standing, lastMs, steps, nowMs } = input
  const { evidence } = selection
  const { scores } = evidence
  const start = startOf(input)
  if (start === undefined && selection.points < OWN_FROM) return undefined
  return {
    scope: series.scope,
    entity: series.entity,
    metric: series.metric,
    kind: 'series',
    version: Math.max((standing?.version ?? 0) + 1, nowMs),
    model: start?.model ?? selection.model,
    step_ms: series.stepMs,
    horizon: series.horizon,
    seasons: [...seasons],
    trained_from_ms: lastMs - (steps - 1) * series.stepMs,
    trained_through_ms: lastMs,
    points: selection.points,
    fitted_at_ms: nowMs,
    // The live forecaster fits the model on the history that it holds: parameters of another moment would be older.
    state: Buffer.alloc(0),
    effect_scale: (start ?? selection).effects.scale,
    effects: recordEffects((start ?? selection).effects),
    evidence: {
      from_ms: evidence.fromMs,
      to_ms: evidence.toMs,
      origins: evidence.origins,
      mase: scores.mase,
      pinball: scores.pinball,
      coverage_95: scores.coverage95,
      msis: scores.msis,
      seasonal_naive_mase: evidence.seasonalNaiveMase,
      candidates: [...evidence.candidates],
      previous: evidence.previous,
      previous_mase: evidence.previousMase,
      margin: evidence.margin,
    },
    features: [...selection.features],
    profile: [...(start?.profile ?? selection.profile)],
    spread: start?.spread ?? selection.spread,
    similar_to: start?.similarTo ?? '',
  }
}

function startOf({ series, selection, standing, donors }: RecordInput): SeriesModel | undefined {
  if (selection.points >= OWN_FROM || (standing !== undefined && standing.similarTo === '')) return undefined
  return startFrom(series.entity, series.stepMs, donors, selection.features)
}
