import { mean, nearestRank, sorted } from '#core/evaluation'
import {
  addEffects,
  eventsKnownAt,
  type KnownEvent,
  learnEffects,
  LEVELS,
  type ModelLibrary,
  removeEffects,
  seasonalScale,
  SeriesForecaster,
} from '#core/forecasting'
import type { Split } from './forecast-data.ts'
import { type Accuracy, accuracyOf } from './forecast-score.ts'
import { lastStretch, widthFactors, withWidth } from './forecast-width.ts'

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
  /** See ForecasterOptions. */
  readonly wide?: boolean
  /** The calendar; without one nothing is learnt of events. */
  readonly events?: readonly KnownEvent[]
  /** Model that stands without a contest. */
  readonly model?: string
  readonly library?: ModelLibrary
  /** Network of the library that joins panels, if it lowers their errors on the last stretch of the training parts. */
  readonly net?: string
  /** The last stretch of the training parts says how wide the intervals of the whole set should be. */
  readonly sharedWidth?: boolean
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
  const usable = splits
    .map((split) => ({ split, scale: seasonalScale(split.train, season) }))
    .filter(({ split, scale }) => scale > 0 && split.test.some(Number.isFinite))
  const started = cpuSeconds()
  const net = joiningNet(
    usable.map(({ split }) => split),
    options,
  )
  const told = usable.map(({ split }, i) => {
    const alone = forecastSplit(split, options, options.model ?? '')
    options.progress?.(i + 1, usable.length)
    return net === '' ? alone : withNet(alone, split, options, net)
  })
  const widths =
    options.sharedWidth === true
      ? sharedWidths(
          usable.map(({ split }) => split),
          options,
        )
      : undefined
  const seconds = cpuSeconds() - started
  const champions: Record<string, number> = {}
  const accuracies = usable.map(({ split, scale }, i) => {
    const { quantiles: alone, model } = told[i] as Told
    const least = split.train.some((value) => value < 0) ? -Infinity : 0
    const quantiles = widths ? withWidth(alone, widths, least) : alone
    const kind = model.replace(/-\d[^+]*/, '')
    champions[kind] = (champions[kind] ?? 0) + 1
    return accuracyOf(quantiles, split.test, scale)
  })
  return { ...summarise(accuracies, seconds), champions }
}

interface Told {
  readonly quantiles: Float64Array
  readonly model: string
}

/** How the intervals of a set are to be stretched, by forecasts of the last stretch of some training parts. */
function sharedWidths(splits: readonly Split[], options: RunOptions): Float64Array {
  const judges = judgesOf(splits, MOST_WIDTH_JUDGES).flatMap(
    (split) => lastStretch(split, options.horizon, options.stepMs) ?? [],
  )
  const judged = judges.map((before) => ({
    quantiles: forecastSplit(before, options, '').quantiles,
    actual: before.test,
  }))
  return widthFactors(judged, options.horizon)
}

/** At most this many, evenly spread. */
const judgesOf = (splits: readonly Split[], most: number): Split[] =>
  splits.filter((_, i) => i % Math.ceil(splits.length / most) === 0)

/** Series that say how wide the intervals should be. */
const MOST_WIDTH_JUDGES = 400
/** Models that a network joins: panels, but not the wide ones of short seasons. */
const JOINED = /^(panel-|wide-\d+-\d)/
/** Series that decide whether a network joins the panels of a set. */
const MOST_JUDGES = 150
const MEDIAN = 2

/** The network, if panels with it beat panels without it on the last stretch of the training parts, which it has not seen; '' otherwise. */
function joiningNet(splits: readonly Split[], options: RunOptions): string {
  const { horizon, net = '' } = options
  if (net === '') return net
  const judges = judgesOf(splits, MOST_JUDGES)
  let gain = 0
  for (const { key, train, lastMs } of judges) {
    const end = train.length - horizon
    const before = {
      key,
      train: train.slice(0, end),
      test: train.slice(end),
      lastMs: lastMs - horizon * options.stepMs,
    }
    const scale = seasonalScale(before.train, options.scaleSeason ?? options.seasons[0] ?? 1)
    if (!(scale > 0)) continue
    const alone = forecastSplit(before, options, '')
    const joined = withNet(alone, before, options, net)
    const errorOf = ({ quantiles }: Told) => accuracyOf(quantiles, before.test, scale).mase
    const change = errorOf(alone) - errorOf(joined)
    if (Number.isFinite(change)) gain += change
  }
  return gain > 0 ? net : ''
}

/**
 * Takes over the medians of the panel with the network. The other quantiles stay (but on their side of the median): their widths rest
 * on the errors of the panel without it, because the network has seen the points that a backtest would score.
 */
function withNet(alone: Told, split: Split, options: RunOptions, net: string): Told {
  if (!JOINED.test(alone.model)) return alone
  const { quantiles: joined, model } = forecastSplit(split, options, `${alone.model}+${net}`)
  const quantiles = alone.quantiles.map((value, at) => {
    const level = at % LEVELS
    const median = joined[at - level + MEDIAN] as number
    return level < MEDIAN ? Math.min(value, median) : level > MEDIAN ? Math.max(value, median) : median
  })
  return { quantiles, model }
}

function forecastSplit({ train, lastMs, test }: Split, options: RunOptions, model: string): Told {
  const { stepMs, seasons, events = NO_EVENTS, nonNegative = false, wide = false } = options
  const horizon = Math.max(options.horizon, test.length)
  const forecaster = new SeriesForecaster(
    { stepMs, horizon, seasons, nonNegative, wide, historyPoints: options.historyPoints ?? train.length },
    options.library,
  )
  forecaster.adopt(model)
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
