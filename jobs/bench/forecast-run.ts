import { mean, nearestRank, sorted } from '#core/evaluation'
import {
  addEffects,
  eventsKnownAt,
  type KnownEvent,
  learnEffects,
  LEVELS,
  type ModelLibrary,
  removeEffects,
  SeriesForecaster,
} from '#core/forecasting'
import type { Split } from './forecast-data.ts'
import { type Accuracy, createScorer, seasonalScale } from './forecast-score.ts'

/** How a set of series is forecast and scored. */
export interface RunOptions {
  /** Steps ahead that the test parts have at most. */
  readonly horizon: number
  /** Candidate seasons in steps, ascending; the first is that of the MASE scale. */
  readonly seasons: readonly number[]
  /** Season of the MASE scale if it is not the first. */
  readonly scaleSeason?: number
  readonly stepMs: number
  /** Values that a forecaster may learn from; default all. */
  readonly historyPoints?: number
  readonly nonNegative?: boolean
  /** The calendar; without one nothing is learnt of events. */
  readonly events?: readonly KnownEvent[]
  /** Model that stands without a contest. */
  readonly model?: string
  readonly library?: ModelLibrary
  readonly progress?: (done: number, of: number) => void
}

/** Scores of a set. */
export interface Figures extends Accuracy {
  readonly median: number
  /** Series scored; those that never change have no scale. */
  readonly series: number
  readonly secondsPer1000: number
  /** How often each kind of model was champion. */
  readonly champions: Readonly<Record<string, number>>
}

/** Processor seconds of this process so far: other work on the machine does not count. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

const NO_EVENTS: readonly KnownEvent[] = []

/** Fits on each training part, forecasts its test part, scores. */
export function forecastSplits(splits: readonly Split[], options: RunOptions): Figures {
  const season = options.scaleSeason ?? options.seasons[0] ?? 1
  const scales = splits.map(({ train }) => seasonalScale(train, season))
  const usable = splits.filter((_, i) => (scales[i] as number) > 0)
  const champions: Record<string, number> = {}
  const started = cpuSeconds()
  const accuracies = usable.map((split, i) => {
    const { quantiles, model } = forecastSplit(split, options)
    const kind = model.replace(/-\d.*/, '')
    champions[kind] = (champions[kind] ?? 0) + 1
    const scorer = createScorer(seasonalScale(split.train, season))
    scorer.add(quantiles, split.test)
    options.progress?.(i + 1, usable.length)
    return scorer.result()
  })
  return { ...summarise(accuracies, cpuSeconds() - started), champions }
}

function forecastSplit(
  { train, lastMs, test }: Split,
  options: RunOptions,
): { readonly quantiles: Float64Array; readonly model: string } {
  const { stepMs, seasons, events = NO_EVENTS, nonNegative = false } = options
  const horizon = Math.max(options.horizon, test.length)
  const forecaster = new SeriesForecaster(
    { stepMs, horizon, seasons, nonNegative, historyPoints: options.historyPoints ?? train.length },
    options.library,
  )
  forecaster.adopt(options.model ?? '')
  const known = eventsKnownAt(events, lastMs)
  const history = { values: train, lastMs, stepMs, season: seasons[0] ?? 1, entity: 'series' }
  const effects = events.length > 0 ? learnEffects(history, known) : undefined
  forecaster.start(effects ? removeEffects(effects, known, train, lastMs) : train, lastMs)
  const quantiles = new Float64Array(horizon * LEVELS)
  forecaster.forecast(quantiles)
  if (effects) addEffects(effects, known, quantiles, lastMs, horizon, nonNegative ? 0 : undefined)
  return { quantiles, model: forecaster.modelName }
}

function summarise(accuracies: readonly Accuracy[], seconds: number): Omit<Figures, 'champions'> {
  const of = (pick: (a: Accuracy) => number) => mean(accuracies.map(pick))
  return {
    mase: of((a) => a.mase),
    median: nearestRank(sorted(accuracies.map((a) => a.mase)), 0.5),
    pinball: of((a) => a.pinball),
    coverage95: of((a) => a.coverage95),
    msis: of((a) => a.msis),
    series: accuracies.length,
    secondsPer1000: (1000 * seconds) / accuracies.length,
  }
}
