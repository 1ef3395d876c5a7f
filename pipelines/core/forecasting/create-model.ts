import { Autoregression } from './autoregression.ts'
import { Bats } from './bats.ts'
import { courseModel } from './course-model.ts'
import { DoubleSarima } from './double-sarima.ts'
import { Ets } from './ets.ts'
import type { ForecastModel } from './model.ts'
import type { ModelLibrary } from './model-library.ts'
import { netModel } from './net-model.ts'
import { linearScale } from './linear-scale.ts'
import { panel, panelMembers, wideMembers } from './panel.ts'
import { Sarima } from './sarima.ts'
import { blend, drift, exponentialLevel, mean, naive, seasonalNaive } from './simple-models.ts'
import { Theta } from './theta.ts'

const PLAIN: Readonly<Record<string, () => ForecastModel>> = {
  naive,
  ses: exponentialLevel,
  mean,
  drift,
  dotheta: () => new Theta([]),
  ets: () => new Ets(1),
}
/** Kinds of exactly one season. */
const SEASONAL: Readonly<Record<string, (season: number) => ForecastModel>> = {
  'seasonal-naive': seasonalNaive,
  sarima: (season) => new Sarima(season),
  ets: (season) => new Ets(season),
  blend: (season) => blend(`blend-${season}`, exponentialLevel(), new Sarima(season)),
}
/** Kinds of one season or more. */
const MULTIPLE: Readonly<Record<string, (seasons: readonly number[]) => ForecastModel>> = {
  bats: (seasons) => new Bats(seasons),
  ar: (seasons) => new Autoregression(seasons, false),
  dar: (seasons) => new Autoregression(seasons, true),
  dotheta: (seasons) => new Theta(seasons),
}
const NONE: ReadonlyMap<string, ForecastModel> = new Map()
const NAME = /^([a-z]+(?:-[a-z]+)*)((?:-\d+)+)(?:\.([0-9a-f]+))?(?:\+(net-.+))?$/

/**
 * A model without state, by name; M, S are seasons in steps, S < M: naive, ses, mean, drift, dotheta, seasonal-naive-M, sarima-M, sarima-S-M, blend-M,
 * bats-M, bats-S-M, ar-…, dar-…, dotheta-M, panel-M, panel-S-M (`.mask` in hexadecimal: only these members; `+net-ID`: and two votes for this network), and what
 * the library holds: net-ID and courses such as prophet-S-M. `members`: models that a panel of this name takes over. Throws RangeError for any other.
 */
export function createModel(
  name: string,
  library: ModelLibrary = {},
  members: ReadonlyMap<string, ForecastModel> = NONE,
): ForecastModel {
  const plain = PLAIN[name]
  if (plain) return plain()
  if (name.startsWith('lin-')) return linearScale(createModel(name.slice('lin-'.length), library))
  const net = name.startsWith('net-') ? library.nets?.get(name.slice('net-'.length)) : undefined
  if (net) return netModel(net)
  const [, kind = '', digits = '', mask, withNet] = NAME.exec(name) ?? []
  const seasons = digits.split('-').slice(1).map(Number)
  const least = kind === 'wide' ? 0 : 1
  const ascend = seasons.every((season, i) => season > (seasons[i - 1] ?? least))
  const model =
    ascend && seasons.length > 0 ? make(name, kind, seasons, library, members, mask, withNet) : undefined
  if (!model) throw new RangeError(`no model is named ${name}`)
  return model
}

function make(
  name: string,
  kind: string,
  seasons: readonly number[],
  library: ModelLibrary,
  members: ReadonlyMap<string, ForecastModel>,
  mask: string | undefined,
  net: string | undefined,
): ForecastModel | undefined {
  if (kind === 'panel' || kind === 'wide') return makePanel(name, seasons, library, members, mask, net)
  if (mask !== undefined || net !== undefined) return undefined
  const [first, second] = seasons as [number, number | undefined]
  if (kind === 'sarima' && seasons.length === 2) return new DoubleSarima(first, second as number)
  const course = library.courses?.[kind]
  if (course) return courseModel(kind, course, seasons)
  return MULTIPLE[kind]?.(seasons) ?? (second === undefined ? SEASONAL[kind]?.(first) : undefined)
}

function makePanel(
  name: string,
  seasons: readonly number[],
  library: ModelLibrary,
  members: ReadonlyMap<string, ForecastModel>,
  mask: string | undefined,
  net: string | undefined,
): ForecastModel {
  const all = name.startsWith('wide-') ? wideMembers(seasons) : panelMembers(seasons)
  const bits = mask === undefined ? (1 << all.length) - 1 : Number.parseInt(mask, 16)
  const names = all.filter((_, i) => (bits >> i) & 1)
  // A network errs unlike the others: it has two votes.
  if (net !== undefined) names.push(net, net)
  if (names.length === 0 || bits >= 1 << all.length) throw new RangeError(`no model is named ${name}`)
  return panel(name, names, (member) => members.get(member) ?? createModel(member, library))
}
