import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { atMost, renderTable, type Target } from '#core/evaluation'
import { loadAbilene, type Series } from './forecast-data.ts'
import { casesOf, type RiskProtocol } from './risk-cases.ts'
import { totalsOf } from './risk-scopes.ts'
import { figuresOf, type RiskFigures, replayCases, type Scored } from './risk-score.ts'

/** What `npm run bench -- risk` prints last. */
export interface RiskBench {
  readonly case: 'risk'
  /** Expected calibration error over both traces. */
  readonly figure: number
  readonly unit: 'ECE'
  /** The same without calibration. */
  readonly peer: number
  readonly ratio: number
  readonly runs: readonly number[]
  readonly abilene: RiskFigures
  readonly worldcup: RiskFigures
  readonly both: RiskFigures
  /** Abilene again: other horizons of the pairs, and limits of what capacities belong to, an hour ahead. */
  readonly further: Readonly<Record<string, RiskFigures>>
  readonly targets: readonly Target[]
}

const STEP_MS = 300_000
const DAY = 288
const LEVELS = [0.8, 0.9, 0.95]
const COMMON = { stepMs: STEP_MS, day: DAY, horizon: 12, levels: LEVELS }
/** Limits from the last three days; questions from the second day on, scored from the sixth. */
const ABILENE: RiskProtocol = { ...COMMON, history: 3 * DAY, from: DAY }
const ABILENE_SCORED = 5 * DAY
/** Limits from the last week; questions from the ninth day on, scored from the 25th of May. */
const WORLDCUP: RiskProtocol = { ...COMMON, history: 7 * DAY, from: 8 * DAY }
const WORLDCUP_SCORED_MS = Date.UTC(1998, 4, 25)

/** Requests of the site per 5 minutes; the first, which began before the log, is left out. */
function loadWorldCup(dataDir: string): Series {
  const path = join(dataDir, 'b_worldcup98_requests_part1', 'requests_per_minute.csv.gz')
  const lines = gunzipSync(readFileSync(path)).toString('utf8').trim().split('\n').slice(1)
  const sums = new Map<number, number>()
  for (const line of lines) {
    const [time = '', requests] = line.split(',')
    const stepMs = Math.floor(Date.parse(time.endsWith('Z') ? time : `${time}Z`) / STEP_MS) * STEP_MS
    sums.set(stepMs, (sums.get(stepMs) ?? 0) + Number(requests))
  }
  const times = [...sums.keys()].sort((a, b) => a - b).slice(1)
  return {
    key: 'site',
    timesMs: Float64Array.from(times),
    values: Float64Array.from(times, (time) => sums.get(time) as number),
  }
}

function rowsOf(trace: string, scored: Scored) {
  return [
    rowOf(`${trace} all`, figuresOf(scored)),
    ...LEVELS.map((level) => rowOf(`${trace} q${100 * level}`, figuresOf(scored, level))),
  ]
}

/** Questions about days 6 and 7 of the Abilene series given. */
function scoredAbilene(series: readonly Series[], horizon: number): Scored {
  const scoredFromMs = series[0]?.timesMs[ABILENE_SCORED] as number
  const cases = series.flatMap((one) => [...casesOf(one, { ...ABILENE, horizon })])
  return replayCases(cases, STEP_MS, scoredFromMs)
}

/** Shorter horizons of the pairs, and the totals that capacities belong to. */
function furtherRows(pairs: readonly Series[]): Record<string, RiskFigures> {
  const { origins, destinations, network } = totalsOf(pairs)
  const rows: readonly (readonly [name: string, series: readonly Series[], horizon: number])[] = [
    ['pairs, 15 min', pairs, 3],
    ['pairs, 30 min', pairs, 6],
    ['origins, 60 min', origins, 12],
    ['destinations, 60 min', destinations, 12],
    ['network, 60 min', network, 12],
  ]
  return Object.fromEntries(
    rows.map(([name, series, horizon]) => [name, figuresOf(scoredAbilene(series, horizon))]),
  )
}

const rowOf = (plan: string, { cases, frequency, ...rest }: RiskFigures) => ({
  plan,
  metrics: { cases, crossed: 100 * frequency, ...rest },
})

function table(abilene: Scored, worldcup: Scored, further: Readonly<Record<string, RiskFigures>>): string {
  return renderTable({
    title: 'Risk: a limit is crossed within the next hour',
    columns: [
      { key: 'cases', heading: 'cases', decimals: 0 },
      { key: 'crossed', heading: 'crossed %', decimals: 1 },
      { key: 'brier', heading: 'Brier', decimals: 4 },
      { key: 'brierBase', heading: 'base rate', decimals: 4 },
      { key: 'skill', heading: 'skill', decimals: 3 },
      { key: 'skillRaw', heading: 'raw skill', decimals: 3 },
      { key: 'ece', heading: 'ECE', decimals: 4 },
      { key: 'eceRaw', heading: 'raw ECE', decimals: 4 },
    ],
    rows: [
      ...rowsOf('Abilene', abilene),
      ...rowsOf('WorldCup', worldcup),
      ...Object.entries(further).map(([name, figures]) => rowOf(`Abilene ${name}`, figures)),
    ],
  })
}

const joined = (a: Scored, b: Scored): Scored => ({
  raw: [...a.raw, ...b.raw],
  said: [...a.said, ...b.said],
  crossed: [...a.crossed, ...b.crossed],
  levels: [...a.levels, ...b.levels],
})

const atLeast = (name: string, value: number, target: number): Target => ({
  name,
  value,
  target,
  met: value >= target,
})

/** Calibration of risks on replayed traces. `dataDir`: the folder of the replay data. */
export function benchRisk(dataDir: string, print: (line: string) => void): RiskBench {
  const pairs = loadAbilene(dataDir)
  const abilene = scoredAbilene(pairs, COMMON.horizon)
  const siteCases = [...casesOf(loadWorldCup(dataDir), WORLDCUP)]
  const worldcup = replayCases(siteCases, STEP_MS, WORLDCUP_SCORED_MS)
  const further = furtherRows(pairs)
  print(table(abilene, worldcup, further))
  print(
    'Limits: quantiles of the days before, set anew each midnight. Base rate: the share of the scored cases',
  )
  print(
    'themselves, by level, which nobody knows in advance. Days 6 and 7 of Abilene, World Cup from 25 May.',
  )
  const both = figuresOf(joined(abilene, worldcup))
  const [a, w] = [figuresOf(abilene), figuresOf(worldcup)]
  return {
    case: 'risk',
    figure: both.ece,
    unit: 'ECE',
    peer: both.eceRaw,
    ratio: both.ece / both.eceRaw,
    runs: [both.ece],
    abilene: a,
    worldcup: w,
    both,
    further,
    targets: [
      atMost('ECE Abilene', a.ece, 0.03),
      atMost('ECE WorldCup', w.ece, 0.03),
      atLeast('Brier skill Abilene', a.skill, 0.4),
      atLeast('Brier skill WorldCup', w.skill, 0.4),
    ],
  }
}

if (import.meta.main) {
  const result = benchRisk(process.argv[2] ?? '../shared/data', (line) => console.log(line))
  console.log(JSON.stringify(result))
}
