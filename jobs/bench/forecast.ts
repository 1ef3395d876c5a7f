import { atMost, mean, nearestRank, renderTable, sorted, type Target } from '#core/evaluation'
import { LEVELS, SeriesForecaster } from '#core/forecasting'
import { type Series, type Split, lastBlocks, loadAbilene, loadNab } from './forecast-data.ts'
import { type RiskFigures, benchRisk } from './forecast-risk.ts'
import { type Accuracy, createScorer, seasonalScale } from './forecast-score.ts'

const STEP_MS = 300_000
const DAY = 288
const NAB = { horizon: 72, blocks: 4, maxTrain: 2016 }
const ABILENE = { horizon: 12, trained: 1440 }

/** What `npm run bench -- forecast` prints last. Figures at the top level are those of the Numenta set. */
export interface ForecastBench {
  readonly case: 'forecast'
  /** Mean MASE. */
  readonly figure: number
  readonly unit: 'MASE'
  readonly peer: { readonly name: string; readonly figure: number }
  readonly ratio: number
  readonly runs: readonly number[]
  readonly median: number
  readonly coverage95: number
  readonly msis: number
  readonly pinball: number
  readonly secondsPer1000: number
  readonly abilene: Figures & { readonly naive: number; readonly seasonalNaive: number }
  readonly risk: RiskFigures
  readonly targets: readonly Target[]
}

interface Figures extends Accuracy {
  readonly median: number
  readonly secondsPer1000: number
}

interface Compared {
  readonly ours: Figures
  readonly naive: readonly number[]
  readonly seasonalNaive: readonly number[]
}

/** Processor seconds of this process so far: other work on the machine does not count. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** Scores of all series, and the processor time per 1,000 of them. */
function summarise(accuracies: readonly Accuracy[], seconds: number, units: number): Figures {
  const of = (pick: (a: Accuracy) => number) => mean(accuracies.map(pick))
  return {
    mase: of((a) => a.mase),
    median: nearestRank(sorted(accuracies.map((a) => a.mase)), 0.5),
    pinball: of((a) => a.pinball),
    coverage95: of((a) => a.coverage95),
    msis: of((a) => a.msis),
    secondsPer1000: (1000 * seconds) / units,
  }
}

function pointError(actual: Float64Array, forecast: (h: number) => number, scale: number): number {
  return mean(actual.map((y, h) => Math.abs(y - forecast(h)))) / scale
}

/** Batch: fit on each training part, forecast its test part. */
function benchBlocks(splits: readonly Split[]): Compared {
  const { horizon, maxTrain } = NAB
  const usable = splits.filter(({ train }) => seasonalScale(train, DAY) > 0)
  const quantiles = new Float64Array(horizon * LEVELS)
  const started = cpuSeconds()
  const accuracies = usable.map(({ train, test }) => {
    const forecaster = new SeriesForecaster({
      stepMs: STEP_MS,
      horizon,
      seasons: [DAY],
      historyPoints: maxTrain,
    })
    forecaster.start(train, train.length * STEP_MS)
    forecaster.forecast(quantiles)
    const scorer = createScorer(seasonalScale(train, DAY))
    scorer.add(quantiles, test)
    return scorer.result()
  })
  const seconds = cpuSeconds() - started
  const baseline = (pick: (train: Float64Array, h: number) => number) =>
    usable.map(({ train, test }) => pointError(test, (h) => pick(train, h), seasonalScale(train, DAY)))
  return {
    ours: summarise(accuracies, seconds, usable.length),
    naive: baseline((train) => train.at(-1) as number),
    seasonalNaive: baseline((train, h) => train[train.length - DAY + h] as number),
  }
}

/** Online: observe every window, forecast at every hour of the scored days from what has been seen. */
function benchOnline(series: readonly Series[]): Compared {
  const { horizon, trained } = ABILENE
  const quantiles = new Float64Array(horizon * LEVELS)
  const naive: number[] = []
  const seasonalNaive: number[] = []
  const started = cpuSeconds()
  const accuracies = series.map(({ timesMs, values }) => {
    const options = { stepMs: STEP_MS, horizon, seasons: [DAY], nonNegative: true }
    const forecaster = new SeriesForecaster(options)
    const scale = seasonalScale(values.subarray(0, trained), DAY)
    const scorer = createScorer(scale)
    const errors: [number, number][] = []
    for (let t = 0; t < values.length; t++) {
      forecaster.observe(timesMs[t] as number, values[t] as number)
      if (t < trained - 1 || (t - trained + 1) % horizon !== 0 || t + horizon >= values.length) continue
      const actual = values.subarray(t + 1, t + 1 + horizon)
      forecaster.forecast(quantiles)
      scorer.add(quantiles, actual)
      const last = values[t] as number
      errors.push([
        pointError(actual, () => last, scale),
        pointError(actual, (h) => values[t + 1 + h - DAY] as number, scale),
      ])
    }
    naive.push(mean(errors.map(([error]) => error)))
    seasonalNaive.push(mean(errors.map(([, error]) => error)))
    return scorer.result()
  })
  return {
    ours: summarise(accuracies, cpuSeconds() - started, series.length),
    naive,
    seasonalNaive,
  }
}

function table(title: string, { ours, naive, seasonalNaive }: Compared): string {
  const point = (errors: readonly number[]) => ({
    mase: mean(errors),
    median: nearestRank(sorted(errors), 0.5),
  })
  return renderTable({
    title,
    columns: [
      { key: 'mase', heading: 'MASE', decimals: 3 },
      { key: 'median', heading: 'median', decimals: 3 },
      { key: 'pinball', heading: 'pinball', decimals: 3 },
      { key: 'coverage95', heading: 'coverage 95 %', decimals: 3 },
      { key: 'msis', heading: 'MSIS', decimals: 2 },
      { key: 'secondsPer1000', heading: 'CPU s per 1,000', decimals: 2 },
    ],
    rows: [
      { plan: 'ours', metrics: { ...ours } },
      { plan: 'naive', metrics: point(naive) },
      { plan: 'seasonal naive', metrics: point(seasonalNaive) },
    ],
  })
}

/** Forecast accuracy on recorded series. `dataDir`: the folder of the replay data. Settings were chosen on earlier blocks than the scored ones. */
export function benchForecast(dataDir: string, print: (line: string) => void): ForecastBench {
  const nab = benchBlocks(lastBlocks(loadNab(dataDir), NAB.horizon, NAB.blocks, NAB.maxTrain))
  print(
    table(
      'Numenta 5-minute series, last 4 blocks of 72 steps, at most 2,016 points to learn from (batch)',
      nab,
    ),
  )
  const series = loadAbilene(dataDir)
  const abilene = benchOnline(series)
  print(
    table(
      'Abilene pairs, 12 steps ahead, hourly through days 6 and 7 (online; time is for the whole week)',
      abilene,
    ),
  )
  const risk = benchRisk(series, ABILENE.trained, print)
  const peer = mean(nab.seasonalNaive)
  const { mase, median, coverage95, msis, pinball, secondsPer1000 } = nab.ours
  const naive = mean(abilene.naive)
  const seasonalNaive = mean(abilene.seasonalNaive)
  return {
    case: 'forecast',
    figure: mase,
    unit: 'MASE',
    peer: { name: 'seasonal naive', figure: peer },
    ratio: mase / peer,
    runs: [mase],
    median,
    coverage95,
    msis,
    pinball,
    secondsPer1000,
    abilene: { ...abilene.ours, naive, seasonalNaive },
    risk,
    targets: [
      atMost('NAB mean MASE', mase, 0.85),
      atMost('NAB distance of coverage from 0.95', Math.abs(coverage95 - 0.95), 0.02),
      atMost(
        'Abilene MASE against the better of naive and seasonal naive',
        abilene.ours.mase,
        Math.min(naive, seasonalNaive),
      ),
      atMost('Abilene distance of coverage from 0.95', Math.abs(abilene.ours.coverage95 - 0.95), 0.02),
    ],
  }
}

if (import.meta.main) {
  const result = benchForecast(process.argv[2] ?? '../shared/data', (line) => console.log(line))
  console.log(JSON.stringify(result))
}
