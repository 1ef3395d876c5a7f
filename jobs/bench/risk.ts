import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { atMost, renderTable, type Target } from '#core/evaluation'
import { loadAbilene, type Series } from './forecast-data.ts'
import { casesOf, type RiskProtocol } from './risk-cases.ts'
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
  readonly targets: readonly Target[]
}

const STEP_MS = 300_000
const DAY = 288
const LEVELS = [0.8, 0.9, 0.95]
const COMMON = { stepMs: STEP_MS, day: DAY, horizon: 12, levels: LEVELS }
/** Limits from the last three days; questions from the fourth day on, scored from the sixth. */
const ABILENE: RiskProtocol = { ...COMMON, history: 3 * DAY, from: 3 * DAY }
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
  const row = (name: string, { cases, frequency, ...rest }: RiskFigures) => ({
    plan: `${trace} ${name}`,
    metrics: { cases, crossed: 100 * frequency, ...rest },
  })
  return [
    row('all', figuresOf(scored)),
    ...LEVELS.map((level) => row(`q${100 * level}`, figuresOf(scored, level))),
  ]
}

function table(abilene: Scored, worldcup: Scored): string {
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
    rows: [...rowsOf('Abilene', abilene), ...rowsOf('WorldCup', worldcup)],
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
  const scoredFromMs = pairs[0]?.timesMs[ABILENE_SCORED] as number
  const abileneCases = pairs.flatMap((series) => [...casesOf(series, ABILENE)])
  const abilene = replayCases(abileneCases, STEP_MS, scoredFromMs)
  const siteCases = [...casesOf(loadWorldCup(dataDir), WORLDCUP)]
  const worldcup = replayCases(siteCases, STEP_MS, WORLDCUP_SCORED_MS)
  print(table(abilene, worldcup))
  print(
    'Limits: quantiles of the days before, set anew each midnight. Base rate: the share of the scored cases',
  )
  print(
    'themselves, by level, which nobody knows in advance. The terms of the calibration were chosen on Abilene.',
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
