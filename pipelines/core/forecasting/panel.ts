import type { ForecastModel } from './model.ts'

/**
 * Votes of a standard panel in the order of its mask: a median of models that err in different ways. A name that stands
 * twice is one model with two votes.
 */
export function panelMembers(seasons: readonly number[]): string[] {
  const [first, last] = [seasons[0] as number, seasons.at(-1) as number]
  const all = seasons.join('-')
  if (seasons.length === 1) {
    return [
      `sarima-${last}`,
      `sarima-${last}`,
      'ses',
      'dotheta',
      `dotheta-${last}`,
      `seasonal-naive-${last}`,
      'naive',
      `ar-${last}`,
    ]
  }
  return [
    `sarima-${first}-${last}`,
    `sarima-${last}`,
    `sarima-${first}`,
    `bats-${all}`,
    `seasonal-naive-${last}`,
    `dar-${all}`,
    `ar-${all}`,
  ]
}

/**
 * Votes of the panel for short seasons (months, quarters, days of the week; 1: none), in the order of its mask: each model on the logarithms (where the
 * series is on that scale) and on the values themselves, as histories are too short to tell which of them grows evenly. With two seasons: the standard panel and
 * four further members of that kind.
 */
export function wideMembers(seasons: readonly number[]): string[] {
  const [season = 1] = seasons
  if (seasons.length > 1) {
    const all = seasons.join('-')
    const further = ['dotheta', 'lin-sarima', 'lin-bats', 'lin-dotheta'].map((kind) => `${kind}-${all}`)
    return [...panelMembers(seasons), ...further]
  }
  if (season === 1) return ['ets', 'dotheta', 'drift', 'lin-ets', 'lin-dotheta']
  const plain = ['ets', 'dotheta', 'sarima', 'bats', 'ar'].map((kind) => `${kind}-${season}`)
  return [...plain, `seasonal-naive-${season}`, ...plain.map((name) => `lin-${name}`)]
}

/** The median of the members' forecasts at every step: one bad member costs nothing, several that differ gain much. */
export function panel(
  name: string,
  votes: readonly string[],
  make: (name: string) => ForecastModel,
): ForecastModel {
  const names = [...new Set(votes)]
  const members = names.map(make)
  const voters = votes.map((vote) => names.indexOf(vote))
  const sum = (of: (member: ForecastModel) => number) =>
    members.reduce((total, member) => total + of(member), 0)
  let rows: Float64Array[] = []
  let ballots: Float64Array[] = []
  return {
    name,
    minPoints: Math.max(...members.map((member) => member.minPoints)),
    memoryBytes: sum((member) => member.memoryBytes),
    fit: (values, logSpread) => {
      for (const member of members) member.fit(values, logSpread)
    },
    update: (value) => {
      for (const member of members) member.update(value)
    },
    forecast: (horizon, out) => {
      if ((rows[0]?.length ?? 0) < horizon) {
        rows = members.map(() => new Float64Array(horizon))
        ballots = voters.map((voter) => rows[voter] as Float64Array)
      }
      for (let i = 0; i < members.length; i++)
        (members[i] as ForecastModel).forecast(horizon, rows[i] as Float64Array)
      medianOfRows(ballots, horizon, out)
    },
    encode: (writer) => {
      for (const member of members) member.encode(writer)
    },
    decode: (reader) => {
      for (const member of members) member.decode(reader)
    },
  }
}

const sorted = new Float64Array(64)

/** Median per step over `rows` (at most 64) to `out[0..horizon)`; NaN where all are (they know the same steps). */
export function medianOfRows(
  rows: readonly ArrayLike<number>[],
  horizon: number,
  out: Float64Array | Float32Array,
): void {
  const n = rows.length
  const middle = n >> 1
  for (let h = 0; h < horizon; h++) {
    for (let i = 0; i < n; i++) {
      const value = (rows[i] as ArrayLike<number>)[h] as number
      let j = i
      for (; j > 0 && (sorted[j - 1] as number) > value; j--) sorted[j] = sorted[j - 1] as number
      sorted[j] = value
    }
    const upper = sorted[middle] as number
    out[h] = n % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2
  }
}
