import { LEVELS } from '#core/math'
import {
  addEffects,
  type EventEffects,
  eventsKnownAt,
  type KnownEvent,
  learnEffects,
  removeEffects,
} from '../events/index.ts'
import type { ForecasterOptions } from '../forecaster-options.ts'
import type { ModelLibrary } from '../model-library.ts'
import { scoreSheet, type Scores, seasonalScale } from '../scoring/index.ts'
import { SeriesForecaster } from '../series-forecaster.ts'
import { seasonalProfile, logged, seriesFeatures, stepSpread } from './features.ts'
import { isMade } from './is-made.ts'

/** A series whose champion is to be chosen. */
export interface SelectionInput {
  readonly entity: string
  /** Oldest first, NaN = gap. */
  readonly values: Float64Array
  /** End of the last window, ms. */
  readonly lastMs: number
  /** As the live forecaster has them. */
  readonly options: ForecasterOptions
  readonly events: readonly KnownEvent[]
  /** Name of the champion that stands; undefined: none. One that cannot be made any more counts as none. */
  readonly standing?: string
  /** What models need beside their name: its networks that reach as far as the horizon take part in the contest. */
  readonly library?: ModelLibrary
  /** Share by which a new champion must be better out of sample than the one that stands. Default 0.05. */
  readonly margin?: number
}

/** A model that was compared. */
export interface Compared {
  readonly model: string
  /** Out of sample; null if the series never changes. */
  readonly mase: number | null
}

/** The champion, and what chose it. */
export interface Selection {
  readonly model: string
  /** Learnt from the whole history. */
  readonly effects: EventEffects
  readonly features: Float64Array
  readonly profile: Float64Array
  readonly spread: number
  /** Finite values of the history. */
  readonly points: number
  readonly evidence: {
    readonly fromMs: number
    readonly toMs: number
    readonly origins: number
    readonly scores: Scores
    readonly seasonalNaiveMase: number | null
    /** Best first. */
    readonly candidates: readonly Compared[]
    readonly previous: string
    readonly previousMase: number | null
    readonly margin: number
  }
}

/** The last share of a history is kept from every choice and fit: it is what the evidence is of. */
const HELD_OUT = 0.2
const MOST_ORIGINS = 24
/** Shorter histories are not worth a contest: what stands, stands. */
const FEWEST = 48
const MARGIN = 0.05

/**
 * Chooses the champion of a series. The contest of the candidates is fought on the first four fifths (its own rolling
 * backtest); its winner then meets the seasonal naive, the networks and the champion that stands on the last fifth, which none has seen, and a new champion must be better by the
 * margin. Both run as they would live: fitted once, then updated value by value, with the effects of events learnt before.
 * A history of less than 48 values keeps what stands.
 */
export function selectChampion(input: SelectionInput): Selection {
  const { entity, values, lastMs, options, events, margin = MARGIN, library = {} } = input
  const standing = isMade(input.standing ?? '', library) ? (input.standing ?? '') : ''
  const { stepMs, horizon, seasons } = options
  const season = mainSeason(values, seasons)
  const known = eventsKnownAt(events, lastMs)
  const effects = learnEffects({ values, lastMs, stepMs, season, entity }, known)
  const split = values.length < FEWEST ? values.length : Math.floor(values.length * (1 - HELD_OUT))
  const stride = Math.max(1, Math.ceil((values.length - split) / MOST_ORIGINS))
  const scale = seasonalScale(values, season, split)
  const contest = contestOf(input, split, stride, season)
  const plain = season > 1 && values.length > split ? [contest(`seasonal-naive-${season}`)] : []
  const nets = [...(library.nets?.values() ?? [])]
    .filter(({ layout }) => layout.horizon >= horizon && layout.window <= split && values.length > split)
    .map(({ layout }) => contest(`net-${layout.id}`))
  const chosen = contest('')
  const others = [...plain, ...nets]
  const challenger = others.reduce((best, one) => (isBetter(one, best, scale, margin) ? one : best), chosen)
  const holder = standing === '' || standing === challenger.model ? undefined : contest(standing)
  const winner = holder && !isBetter(challenger, holder, scale, margin) ? holder : challenger
  const seasonalNaiveMase = naiveMase(values, split, stride, horizon, season, scale)
  const maseOf = ({ result }: Fought) => result(scale).mase
  const candidates = [...new Set([chosen, ...others, ...(holder ? [holder] : [])])].map((fought) => ({
    model: fought.model,
    mase: maseOf(fought),
  }))
  const logs = logged(values)
  const profile = logs
    ? seasonalProfile(logs, lastMs, stepMs, season)
    : { values: new Float64Array(0), explained: 0 }
  return {
    model: winner.model,
    effects,
    features: seriesFeatures(values, profile),
    profile: profile.values,
    spread: stepSpread(values),
    points: values.reduce((count, value) => count + (Number.isNaN(value) ? 0 : 1), 0),
    evidence: {
      fromMs: lastMs - (values.length - 1 - split) * stepMs,
      toMs: lastMs,
      origins: Math.ceil((values.length - split) / stride),
      scores: winner.result(scale),
      seasonalNaiveMase,
      candidates: unique(candidates).sort((a, b) => (a.mase ?? 0) - (b.mase ?? 0)),
      previous: standing,
      previousMase: standing === '' ? null : maseOf(holder ?? challenger),
      margin,
    },
  }
}

/** Each model once. */
const unique = (candidates: readonly Compared[]): Compared[] => [
  ...new Map(candidates.map((candidate) => [candidate.model, candidate])).values(),
]

interface Fought {
  readonly model: string
  readonly result: (scale: number) => Scores
}

/** Runs a model over the held-out part; '' lets the candidates fight on what comes before it. */
function contestOf(
  { entity, values, lastMs, options, events, library }: SelectionInput,
  split: number,
  stride: number,
  season: number,
): (name: string) => Fought {
  const { stepMs, horizon, nonNegative } = options
  const timeOf = (t: number) => lastMs - (values.length - 1 - t) * stepMs
  const known = eventsKnownAt(events, timeOf(split - 1))
  const train = values.subarray(0, split)
  const trainedMs = timeOf(split - 1)
  const effects = learnEffects({ values: train, lastMs: trainedMs, stepMs, season, entity }, known)
  const cleaned = removeEffects(effects, known, train, trainedMs)
  const quantiles = new Float64Array(horizon * LEVELS)
  return (name) => {
    // No fit falls into what is held out: the contest is of what the first four fifths have taught.
    const forecaster = new SeriesForecaster({ ...options, refitEvery: 2 * values.length }, library)
    forecaster.adopt(name)
    forecaster.start(cleaned, trainedMs)
    const model = forecaster.modelName
    const sheet = scoreSheet()
    for (let t = split; t < values.length; t++) {
      const now = eventsKnownAt(events, timeOf(t - 1))
      if ((t - split) % stride === 0 && forecaster.forecast(quantiles)) {
        addEffects(effects, now, quantiles, timeOf(t - 1), horizon, nonNegative ? 0 : undefined)
        sheet.add(quantiles, values.subarray(t, Math.min(values.length, t + horizon)))
      }
      const value = values[t] as number
      forecaster.observe(timeOf(t), removeEffects(effects, now, [value], timeOf(t))[0] as number)
    }
    return { model, result: (scale) => sheet.result(scale) }
  }
}

function isBetter(challenger: Fought, holder: Fought, scale: number, margin: number): boolean {
  const now = challenger.result(scale).mase
  const before = holder.result(scale).mase
  return now !== null && before !== null && now < (1 - margin) * before
}

/** The first season that the history holds twice; 1 if there is none. */
const mainSeason = (values: Float64Array, seasons: readonly number[]): number =>
  seasons.find((season) => 2 * season <= values.length) ?? 1

function naiveMase(
  values: Float64Array,
  split: number,
  stride: number,
  horizon: number,
  season: number,
  scale: number,
): number | null {
  let sum = 0
  let n = 0
  for (let t = split; t < values.length; t += stride) {
    for (let h = 0; h < horizon && t + h < values.length; h++) {
      const error = Math.abs((values[t + h] as number) - (values[t - season + (h % season)] as number))
      if (Number.isNaN(error)) continue
      sum += error
      n++
    }
  }
  return n > 0 && scale > 0 ? sum / n / scale : null
}
