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
  const isShort = isWide && isWideContest(seasons)
  const from = isShort ? shortSplit(values.length, horizon, seasons[0] ?? 1) : splitOf(values.length)
  const field = isShort
    ? shortField(from, seasons[0] ?? 1)
    : plainField(from, values.length, seasons, isWide, library)
  const models = adopted(only, library, from) ?? modelsOf(field, from, logSpread > 0, library)
  for (const model of models) model.fit(values.subarray(0, from), logSpread)
  const scored = values.length - from
  const stride = Math.max(1, Math.floor(horizon / ORIGINS_A_HORIZON), Math.ceil(scored / MOST_ORIGINS))
  const { errors, origins } = rollingBacktest(models, values, from, horizon, stride)
  const candidates = models.map(({ name }, i) => asCandidate(name, errors[i] as Float32Array))
  const group = models.length > 1 ? groupOf(field, candidates) : undefined
  const best = leastHandicapped(group, candidates, field.handicap)
  // A short history is too little for the first part to say where the search of the whole should start.
  const model = isShort ? createModel(best.name, library) : modelOf(best, models, library)
  model.fit(values, logSpread)
  const losses = new Map([...candidates, ...(group ? [group] : [])].map(({ name, loss }) => [name, loss]))
  return { model, errors: best.errors, origins, stride, losses }
}

const splitOf = (length: number): number =>
  length < FEWEST ? length : Math.floor(length * (1 - BACKTEST_SHARE))

/** Where the backtest of a short history begins: late enough for a season to be known before it, if a part is left for it. */
function shortSplit(length: number, horizon: number, season: number): number {
  const most = length - Math.max(2, Math.min(horizon, Math.floor(length * LEAST_WIDE)))
  return Math.max(0, Math.min(Math.max(splitOf(length), 2 * season + 2), most))
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

/** Who takes part in a contest, and the panel of some of them that stands against each alone. */
interface Field {
  readonly names: ReadonlySet<string>
  /** '': no panel. */
  readonly panel: string
  readonly members: readonly string[]
  /** Members that erred this many times as much as the best one are left out. */
  readonly mostOfBest: number
  /** The panel's error counts this many times. */
  readonly handicap: number
}

function shortField(from: number, season: number): Field {
  const start = from >= 2 * season + 2 ? season : 1
  const members = wideMembers([start])
  const names = new Set(['naive', 'ses', 'mean', ...members])
  return { names, panel: `wide-${start}`, members, mostOfBest: WIDE_MOST_OF_BEST, handicap: WIDE_HANDICAP }
}

function plainField(
  from: number,
  length: number,
  seasons: readonly number[],
  isWide: boolean,
  library: ModelLibrary,
): Field {
  const enough = usable(seasons, from)
  const isDouble = enough.length > 1
  const members = enough.length === 0 ? [] : isWide && isDouble ? wideMembers(enough) : panelMembers(enough)
  const names = new Set(['naive', 'ses', 'mean', 'dotheta'])
  if (length < DRIFT_LIMIT) names.add('drift')
  for (const name of members) names.add(name)
  // The season before is an answer as soon as there is one: a series of two days must not wait for the models that need more.
  for (const season of seasons) names.add(`seasonal-naive-${season}`)
  if (enough.length > 0) {
    for (const kind of Object.keys(library.courses ?? {})) names.add([kind, ...enough].join('-'))
  }
  const panel = enough.length === 0 ? '' : [isWide && isDouble ? 'wide' : 'panel', ...enough].join('-')
  return {
    names,
    panel,
    members,
    mostOfBest: MOST_OF_BEST,
    handicap: isDouble ? DOUBLE_HANDICAP : PANEL_HANDICAP,
  }
}

/** The models of a field that the history suffices for, the first always; those of plain values only where the series is on the log scale. */
function modelsOf({ names }: Field, from: number, isLog: boolean, library: ModelLibrary): ForecastModel[] {
  return [...names]
    .filter((name) => isLog || !name.startsWith('lin-'))
    .map((name) => createModel(name, library))
    .filter((model, i) => i === 0 || from >= model.minPoints)
}

/** The median of the members that did not fail; its error is the median of their errors. */
function groupOf(
  { panel, members: names, mostOfBest }: Field,
  candidates: readonly Candidate[],
): Candidate | undefined {
  if (panel === '') return undefined
  const members = names.map((member) => candidates.find((candidate) => candidate.name === member))
  const least = Math.min(...members.map((member) => member?.loss ?? Infinity))
  const stays = members.map((member) => member !== undefined && member.loss <= mostOfBest * least)
  const rows = members.filter((_, i) => stays[i]).map((member) => (member as Candidate).errors)
  if (rows.length < 2) return undefined
  const mask = stays.reduce((bits, stay, i) => bits + (stay ? 1 << i : 0), 0)
  const errors = new Float32Array((rows[0] as Float32Array).length)
  medianOfRows(rows, errors.length, errors)
  return asCandidate(`${panel}.${mask.toString(16)}`, errors)
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
