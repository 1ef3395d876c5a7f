import { nearestRank, renderTable, sorted } from '#core/evaluation'
import { LEVELS, SeriesForecaster } from '#core/forecasting'
import { assessRisk, brierScore, calibrate, calibrationError, fitCalibration, IDENTITY } from '#core/risk'
import type { Series } from './forecast-data.ts'

const STEP_MS = 300_000
const DAY = 288
const HORIZON = 12
/** The limit of a pair: this quantile of its training days. */
const LIMIT_AT = 0.95

/** Calibration of P(limit crossed within an hour) on the scored days; the map was fitted on the last two training days. */
export interface RiskFigures {
  readonly cases: number
  /** Share of hours that crossed. */
  readonly frequency: number
  readonly brierRaw: number
  readonly brier: number
  readonly eceRaw: number
  readonly ece: number
  /** Brier score of always saying the share of crossings of the fitting days. */
  readonly brierConstant: number
}

interface Cases {
  readonly said: number[]
  readonly crossed: number[]
}

/** Hourly risks of all pairs: fitted on (trained - 576)..trained, scored after. */
export function benchRisk(
  series: readonly Series[],
  trained: number,
  print: (line: string) => void,
): RiskFigures {
  const fitting: Cases = { said: [], crossed: [] }
  const scored: Cases = { said: [], crossed: [] }
  for (const one of series) collect(one, trained, fitting, scored)
  const map = fitCalibration(fitting.said, fitting.crossed)
  if (map === IDENTITY) print('risk: too few crossings to calibrate')
  const mended = scored.said.map((p) => calibrate(map, p))
  const share = (cases: Cases) => cases.crossed.reduce((a, b) => a + b, 0) / cases.crossed.length
  const constant = share(fitting)
  const figures = {
    cases: scored.said.length,
    frequency: share(scored),
    brierRaw: brierScore(scored.said, scored.crossed),
    brier: brierScore(mended, scored.crossed),
    eceRaw: calibrationError(scored.said, scored.crossed),
    ece: calibrationError(mended, scored.crossed),
    brierConstant: brierScore(
      mended.map(() => constant),
      scored.crossed,
    ),
  }
  print(
    renderTable({
      title: `Risk: Abilene pairs above their q${100 * LIMIT_AT} within an hour (${figures.cases} cases, ${(100 * figures.frequency).toFixed(1)} % crossed)`,
      columns: [
        { key: 'brier', heading: 'Brier', decimals: 4 },
        { key: 'ece', heading: 'ECE', decimals: 4 },
      ],
      rows: [
        { plan: 'raw', metrics: { brier: figures.brierRaw, ece: figures.eceRaw } },
        { plan: 'calibrated', metrics: { brier: figures.brier, ece: figures.ece } },
        { plan: 'constant', metrics: { brier: figures.brierConstant } },
      ],
    }),
  )
  return figures
}

function collect({ key, timesMs, values }: Series, trained: number, fitting: Cases, scored: Cases): void {
  const forecaster = new SeriesForecaster({
    stepMs: STEP_MS,
    horizon: HORIZON,
    seasons: [DAY],
    nonNegative: true,
  })
  const quantiles = new Float64Array(HORIZON * LEVELS)
  const from = trained - 2 * DAY
  const limit = nearestRank(sorted(values.subarray(0, from)), LIMIT_AT)
  for (let t = 0; t + HORIZON < values.length; t++) {
    forecaster.observe(timesMs[t] as number, values[t] as number)
    if (t < from || (t - from) % HORIZON !== 0) continue
    forecaster.forecast(quantiles)
    const risk = assessRisk({
      entity: key,
      issuedAtMs: timesMs[t] as number,
      stepMs: STEP_MS,
      steps: HORIZON,
      quantiles,
      limit,
      side: 'above',
    })
    const cases = t < trained - HORIZON ? fitting : scored
    cases.said.push(risk.rawProbability)
    cases.crossed.push(values.subarray(t + 1, t + 1 + HORIZON).some((value) => value > limit) ? 1 : 0)
  }
}
