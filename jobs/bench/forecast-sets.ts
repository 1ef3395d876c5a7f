import type { PeerSet } from './forecast-peer.ts'
import { cutTo, lastBlocks, loadAbilene, loadNab, loadWorldCup, type Split } from './forecast-data.ts'
import type { RunOptions } from './forecast-run.ts'

/** A set of recorded series, split, with the options of ours and the same windows for the reference script. */
export interface BenchSet {
  readonly name: 'nab' | 'abilene12' | 'abilene288' | 'worldcup'
  readonly title: string
  readonly splits: readonly Split[]
  readonly options: RunOptions
  readonly peer: PeerSet
}

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY_STEPS = 288
const TRAINED = 5 * DAY_STEPS

function nab(dataDir: string): BenchSet {
  const series = loadNab(dataDir)
  const peer = { series, horizon: 72, season: DAY_STEPS, origins: 4, maxTrain: 2016 }
  return {
    name: 'nab',
    title: 'Numenta 5-minute series, last 4 blocks of 72 steps, at most 2,016 points to learn from',
    splits: lastBlocks(series, 72, 4, 2016),
    options: { horizon: 72, seasons: [DAY_STEPS], stepMs: 5 * MINUTE },
    peer,
  }
}

function abilene(dataDir: string, horizon: 12 | 288): BenchSet {
  const series = cutTo(loadAbilene(dataDir), TRAINED + horizon)
  return {
    name: `abilene${horizon}`,
    title: `Abilene, 132 pairs, 5 days to learn from, the next ${horizon} steps`,
    splits: lastBlocks(series, horizon, 1),
    options: { horizon, seasons: [DAY_STEPS], stepMs: 5 * MINUTE, nonNegative: true },
    peer: { series, horizon, season: DAY_STEPS },
  }
}

function worldCup(dataDir: string): BenchSet {
  const { series, events } = loadWorldCup(dataDir)
  return {
    name: 'worldcup',
    title: 'World Cup 1998, requests per hour, the days of 13 to 19 June, each from everything before it',
    splits: lastBlocks([series], 24, 7),
    options: { horizon: 24, seasons: [24, 168], stepMs: HOUR, nonNegative: true, events },
    peer: { series: [series], horizon: 24, season: 24, season2: 168, origins: 7 },
  }
}

/** The recorded sets by name. `dataDir`: the folder of the replay data. */
export const BENCH_SETS: Readonly<Record<BenchSet['name'], (dataDir: string) => BenchSet>> = {
  nab,
  abilene12: (dataDir) => abilene(dataDir, 12),
  abilene288: (dataDir) => abilene(dataDir, 288),
  worldcup: worldCup,
}
