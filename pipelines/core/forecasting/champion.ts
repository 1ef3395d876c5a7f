import { type Backtest, type Candidate, rollingBacktest } from './backtest.ts'
import { createModel } from './create-model.ts'
import type { ForecastModel } from './model.ts'

/** The chosen model, fitted on all values and standing at their end, with the errors its kind made in the backtest. */
export interface Champion {
  readonly model: ForecastModel
  /** Actual - forecast in model scale: `origins` rows of the horizon, NaN where unknown. */
  readonly errors: Float32Array
  readonly origins: number
  /** Mean absolute backtest error of every candidate by name (model scale). */
  readonly losses: ReadonlyMap<string, number>
}

/** Share of the history that the backtest rolls over; parameters of the backtest come from the rest. */
const BACKTEST_SHARE = 0.4
/** Fewest values worth a backtest. */
const FEWEST = 8
const MOST_ORIGINS = 200
/**
 * The blend stands unless another model is 30 % better: a backtest of a few days picks by luck more often than
 * that. Chosen on earlier blocks than the scored ones (docs/design/forecasting.md).
 */
const BLEND_HANDICAP = 0.7
/** Above this many values a damped trend is no candidate: it is for cold starts. */
const DRIFT_LIMIT = 200

interface Field {
  readonly models: ForecastModel[]
  readonly candidates: Candidate[]
  readonly names: string[]
}

/**
 * Chooses among naive, exponential level, mean, and per season seasonal naive, SARIMA and their blend by the mean
 * absolute error of a rolling backtest. `values`: model scale, NaN = gap, oldest first. `seasons` in steps; those
 * that the history is too short for are left out. Parameters used in the backtest never rest on points it scores.
 * `only`: the candidate that stands without a contest, if it is among them.
 */
export function chooseChampion(
  values: Float64Array,
  horizon: number,
  seasons: readonly number[],
  only?: string,
): Champion {
  const from = Math.floor(values.length * (1 - BACKTEST_SHARE))
  const field = narrowed(makeField(from, values.length, seasons), only)
  const fitted = values.length < FEWEST ? values : values.subarray(0, from)
  for (const model of field.models) model.fit(fitted)
  const scored = values.length - fitted.length
  const stride = Math.max(1, Math.floor(horizon / 12), Math.ceil(scored / MOST_ORIGINS))
  const backtest = rollingBacktest(field.models, field.candidates, values, fitted.length, horizon, stride)
  const losses = backtest.errors.map(meanAbsolute)
  const best = leastHandicapped(field.names, losses)
  return {
    model: refitted(field, best, values),
    errors: backtest.errors[best] as Float32Array,
    origins: backtest.origins,
    losses: new Map(field.names.map((name, i) => [name, losses[i] as number])),
  }
}

/** The field with one candidate alone; the whole field if it is not in it (the history is too short for it). */
function narrowed(field: Field, only: string | undefined): Field {
  const at = only === undefined ? -1 : field.names.indexOf(only)
  if (at < 0) return field
  const parts = field.candidates[at] as Candidate
  return {
    models: parts.map((part) => field.models[part as number] as ForecastModel),
    candidates: [parts.length === 1 ? [0] : [0, 1]],
    names: [field.names[at] as string],
  }
}

function makeField(from: number, length: number, seasons: readonly number[]): Field {
  const models = ['naive', 'ses', 'mean'].map((name) => createModel(name))
  if (length < DRIFT_LIMIT) models.push(createModel('drift'))
  for (const season of seasons) {
    for (const kind of ['seasonal-naive', 'sarima']) {
      const model = createModel(`${kind}-${season}`)
      if (from >= model.minPoints) models.push(model)
    }
  }
  const candidates: Candidate[] = models.map((_, i) => [i])
  const names = models.map((model) => model.name)
  models.forEach((model, i) => {
    if (!model.name.startsWith('sarima-')) return
    candidates.push([LEVEL, i])
    names.push(`blend-${model.name.slice('sarima-'.length)}`)
  })
  return { models, candidates, names }
}

/** Where the exponential level stands among the models. */
const LEVEL = 1

function refitted(field: Field, best: number, values: Float64Array): ForecastModel {
  const [first, second] = field.candidates[best] as Candidate
  const one = field.models[first] as ForecastModel
  const name = field.names[best] as string
  const model = second === undefined ? one : createModel(name)
  model.fit(values)
  return model
}

function leastHandicapped(names: readonly string[], losses: readonly number[]): number {
  let best = 0
  let least = Infinity
  losses.forEach((loss, i) => {
    const weighed = loss * ((names[i] as string).startsWith('blend-') ? BLEND_HANDICAP : 1)
    if (weighed < least) {
      least = weighed
      best = i
    }
  })
  return best
}

function meanAbsolute(errors: Backtest['errors'][number]): number {
  let sum = 0
  let n = 0
  for (const error of errors) {
    if (Number.isNaN(error)) continue
    sum += Math.abs(error)
    n++
  }
  return n === 0 ? NaN : sum / n
}
