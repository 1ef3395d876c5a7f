import { meanAbsolute, rollingBacktest } from './backtest.ts'
import { createModel } from './create-model.ts'
import type { ForecastModel } from './model.ts'
import type { ModelLibrary } from './model-library.ts'
import { isWideContest } from './classical.ts'
import { medianOfRows, panelMembers, wideMembers } from './panel.ts'

/** The chosen model, fitted on all values and standing at their end, with the errors its kind made in the backtest. */
export interface Champion {
  readonly model: ForecastModel
  /** Actual - forecast in model scale: `origins` rows of the horizon, NaN where unknown. */
  readonly errors: Float32Array
  readonly origins: number
  /** Steps between two origins. */
  readonly stride: number
  /** Mean absolute backtest error of every candidate by name (model scale). */
  readonly losses: ReadonlyMap<string, number>
}

/** What a contest needs to know of the series beside its values. */
export interface Contest {
  /** Spread of the logarithms that the values are; 0: they are none. */
  readonly logSpread: number
  /** More candidates, if the season is short: see `wideMembers`. */
  readonly isWide: boolean
}

const PLAIN_CONTEST: Contest = { logSpread: 0, isWide: false }
/** Share of the history that the backtest rolls over; parameters of the backtest come from the rest. */
const BACKTEST_SHARE = 0.4
/** Fewest values worth a backtest. */
const FEWEST = 8
const MOST_ORIGINS = 200
/** Origins per horizon. */
const ORIGINS_A_HORIZON = 12
/** A panel's member that erred this many times as much as its best one is left out. */
const MOST_OF_BEST = 2
/**
 * The panel stands unless a single model is 20 % better (30 % with two seasons, where the members differ more): a backtest of a
 * few days picks by luck more often than that. Chosen on other periods than the scored ones (docs/design/forecasting.md).
 */
const PANEL_HANDICAP = 0.8
const DOUBLE_HANDICAP = 0.7
/** The same for a wide panel: backtests of short histories tell less, so more members stay and a single model hardly ever wins. */
const WIDE_MOST_OF_BEST = 2.5
const WIDE_HANDICAP = 0.35
/** Least share of a short history that its backtest gets. */
const LEAST_WIDE = 0.12
/** Above this many values a damped trend is no candidate: it is for cold starts. */
const DRIFT_LIMIT = 200

interface Candidate {
  readonly name: string
  readonly errors: Float32Array
  readonly loss: number
}

/**
 * Chooses among naive, exponential level, mean, theta, the models of a panel over the seasons and the panel's median, by the mean
 * absolute error of a rolling backtest; with the courses of the library, where it has any (they cost 100 times as much). `values`: model scale, NaN = gap, oldest first. `seasons` in steps; those
 * that the history is too short for are left out. Parameters used in the backtest never rest on points it scores.
 * `only`: the model that stands without a contest, if the history suffices for it; it is all that is computed then.
 * A contest is wide if asked for and if there is at most one season, a short one.
 */
export function chooseChampion(
  values: Float64Array,
  horizon: number,
  seasons: readonly number[],
  only = '',
  library: ModelLibrary = {},
  { logSpread, isWide }: Contest = PLAIN_CONTEST,
): Champion {
  const wide = isWide && isWideContest(seasons)
  const from = wide ? wideSplit(values.length, horizon, seasons[0] ?? 1) : splitOf(values.length)
  const membersOf = (found: readonly number[]) =>
    isWide && found.length > 1
      ? wideMembers(found).filter((name) => logSpread > 0 || !name.startsWith('lin-'))
      : panelMembers(found)
  const field = () =>
    wide
      ? wideField(from, seasons[0] ?? 1, logSpread > 0)
      : makeField(from, values.length, seasons, library, membersOf)
  const models = adopted(only, library, from) ?? field()
  for (const model of models) model.fit(values.subarray(0, from), logSpread)
  const scored = values.length - from
  const stride = Math.max(1, Math.floor(horizon / ORIGINS_A_HORIZON), Math.ceil(scored / MOST_ORIGINS))
  const { errors, origins } = rollingBacktest(models, values, from, horizon, stride)
  const candidates = models.map(({ name }, i) => asCandidate(name, errors[i] as Float32Array))
  const enough = usable(seasons, from)
  const group =
    models.length > 1
      ? wide
        ? wideGroup(models, candidates)
        : panelOf(enough, candidates, isWide)
      : undefined
  const handicap = wide ? WIDE_HANDICAP : enough.length > 1 ? DOUBLE_HANDICAP : PANEL_HANDICAP
  const best = leastHandicapped(group, candidates, handicap)
  // A short history is too little for the first part to say where the search of the whole should start.
  const model = wide ? createModel(best.name, library) : modelOf(best, models, library)
  model.fit(values, logSpread)
  const losses = new Map([...candidates, ...(group ? [group] : [])].map(({ name, loss }) => [name, loss]))
  return { model, errors: best.errors, origins, stride, losses }
}

const splitOf = (length: number): number =>
  length < FEWEST ? length : Math.floor(length * (1 - BACKTEST_SHARE))

/** Where the backtest of a short history begins: late enough for a season to be known before it, if a part is left for it. */
function wideSplit(length: number, horizon: number, season: number): number {
  const most = length - Math.max(2, Math.min(horizon, Math.floor(length * LEAST_WIDE)))
  return Math.max(0, Math.min(Math.max(splitOf(length), 2 * season + 2), most))
}

function wideField(from: number, season: number, isLog: boolean): ForecastModel[] {
  const start = from >= 2 * season + 2 ? season : 1
  const names = new Set(['naive', 'ses', 'mean', ...wideMembers([start])])
  return [...names]
    .filter((name) => isLog || !name.startsWith('lin-'))
    .map((name) => createModel(name))
    .filter((model, i) => i === 0 || from >= model.minPoints)
}

function wideGroup(
  models: readonly ForecastModel[],
  candidates: readonly Candidate[],
): Candidate | undefined {
  const season = models.find(({ name }) => name.startsWith('ets-'))?.name.slice('ets-'.length) ?? '1'
  return groupOf(`wide-${season}`, wideMembers([Number(season)]), candidates, WIDE_MOST_OF_BEST)
}

/** The candidate as a model; a panel of models that were fitted already, so that the next fit starts where theirs ended. */
function modelOf(best: Candidate, models: readonly ForecastModel[], library: ModelLibrary): ForecastModel {
  const byName = new Map(models.map((model) => [model.name, model]))
  return byName.get(best.name) ?? createModel(best.name, library, byName)
}

const asCandidate = (name: string, errors: Float32Array): Candidate => ({
  name,
  errors,
  loss: meanAbsolute(errors),
})

function adopted(only: string, library: ModelLibrary, from: number): ForecastModel[] | undefined {
  if (only === '') return undefined
  const model = createModel(only, library)
  return from >= model.minPoints ? [model] : undefined
}

/** The shortest and the longest season that the history suffices for. */
function usable(seasons: readonly number[], from: number): number[] {
  const enough = seasons
    .filter((season) => from >= createModel(`sarima-${season}`).minPoints)
    .sort((a, b) => a - b)
  return enough.length < 3 ? enough : [enough[0] as number, enough.at(-1) as number]
}

function makeField(
  from: number,
  length: number,
  seasons: readonly number[],
  library: ModelLibrary,
  membersOf: (seasons: readonly number[]) => string[],
): ForecastModel[] {
  const names = new Set(['naive', 'ses', 'mean', 'dotheta'])
  if (length < DRIFT_LIMIT) names.add('drift')
  const enough = usable(seasons, from)
  if (enough.length > 0) for (const name of membersOf(enough)) names.add(name)
  // The season before is an answer as soon as there is one: a series of two days must not wait for the models that need more.
  for (const season of seasons) names.add(`seasonal-naive-${season}`)
  if (enough.length > 0) {
    for (const kind of Object.keys(library.courses ?? {})) names.add([kind, ...enough].join('-'))
  }
  return [...names]
    .map((name) => createModel(name, library))
    .filter((model, i) => i === 0 || from >= model.minPoints)
}

/** The median of the members that did not fail; its error is the median of their errors. */
function panelOf(
  seasons: readonly number[],
  candidates: readonly Candidate[],
  isWide: boolean,
): Candidate | undefined {
  if (seasons.length === 0) return undefined
  if (isWide && seasons.length > 1) {
    return groupOf(`wide-${seasons.join('-')}`, wideMembers(seasons), candidates, MOST_OF_BEST)
  }
  return groupOf(`panel-${seasons.join('-')}`, panelMembers(seasons), candidates, MOST_OF_BEST)
}

function groupOf(
  name: string,
  names: readonly string[],
  candidates: readonly Candidate[],
  mostOfBest: number,
): Candidate | undefined {
  const members = names.map((member) => candidates.find((candidate) => candidate.name === member))
  const least = Math.min(...members.map((member) => member?.loss ?? Infinity))
  const stays = members.map((member) => member !== undefined && member.loss <= mostOfBest * least)
  const rows = members.filter((_, i) => stays[i]).map((member) => (member as Candidate).errors)
  if (rows.length < 2) return undefined
  const mask = stays.reduce((bits, stay, i) => bits + (stay ? 1 << i : 0), 0)
  const errors = new Float32Array((rows[0] as Float32Array).length)
  medianOfRows(rows, errors.length, errors)
  return asCandidate(`${name}.${mask.toString(16)}`, errors)
}

function leastHandicapped(
  group: Candidate | undefined,
  candidates: readonly Candidate[],
  handicap: number,
): Candidate {
  let best: Candidate | undefined = group ?? candidates[0]
  let least = group ? group.loss * handicap : Infinity
  for (const candidate of candidates) {
    if (candidate.loss < least) {
      best = candidate
      least = candidate.loss
    }
  }
  return best as Candidate
}
