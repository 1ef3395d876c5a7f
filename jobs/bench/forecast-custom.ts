import { findSeasons, isWideContest, type ModelLibrary, seasonalScale } from '#core/forecasting'
import { ForestallError } from '#core/ports'
import { augursCourses } from '#infra/augurs'
import { lastRows, onGrid, readSeriesCsv } from './forecast-csv.ts'
import { type PeerRow, type PeerRun, type PeerTools, runPeers } from './forecast-peer.ts'
import { NET, netOf } from './forecast-net.ts'
import { cpuSeconds, type Figures, forecastSplits } from './forecast-run.ts'
import { accuracyTable } from './forecast-table.ts'
import type { Split } from './forecast-data.ts'

/** What `--csv` asks for. */
export interface CsvRequest {
  readonly file: string
  readonly horizon: number
  /** Steps; empty: found in the data. */
  readonly seasons: readonly number[]
  /** Prophet and MSTL of augurs are candidates too: about 100 times the time. */
  readonly courses?: boolean
  /** One network is trained on all series (about a minute), and joins the panels if it helps in the backtests. */
  readonly net?: boolean
  readonly peers: readonly string[]
  readonly tools: PeerTools | undefined
  /** How the other models are run. */
  readonly run: Omit<PeerRun, 'progress'>
  readonly print: (line: string) => void
  readonly progress: (line: string) => void
}

/** What `--csv` prints last. */
export interface CsvBench extends Figures {
  readonly case: 'forecast'
  readonly figure: number
  readonly unit: 'MASE'
  readonly runs: readonly number[]
  readonly file: string
  readonly horizon: number
  readonly seasons: readonly number[]
  /** Series too short for the horizon, or without any change from season to season: not scored. */
  readonly leftOut: number
  /** Processor time of the network's training; it is part of `secondsPer1000`. */
  readonly trainingSeconds: number
  readonly peers: readonly PeerRow[]
}

/** Longest history used, in values, or in cycles of the longest season if that is more. */
const MOST_POINTS = 4032
const MOST_CYCLES = 7
const REPORT_EVERY = 50

/** Forecasts the last `horizon` rows of every series of a file from the rows before them. Throws CONFIG_INVALID. */
export async function benchCsv(request: CsvRequest): Promise<CsvBench> {
  const { file, horizon, print, progress } = request
  if (!Number.isInteger(horizon) || horizon < 1 || horizon > 1000) {
    throw new ForestallError('CONFIG_INVALID', '--horizon must be a whole number of rows, 1..1000')
  }
  if (request.seasons.some((season) => !Number.isInteger(season) || season < 1)) {
    throw new ForestallError(
      'CONFIG_INVALID',
      '--season and --season2 must be whole numbers of rows, at least 1 (1: no season)',
    )
  }
  const series = readSeriesCsv(file)
  const [named] = request.seasons
  const splits = lastRows(
    series.map((one) => onGrid(one, named)),
    horizon,
  )
  const seasons = named === undefined ? findSeasons(splits.map(({ train }) => train)) : [...request.seasons]
  refuseUnscored(file, splits, horizon, seasons[0] ?? 1)
  progress(
    `${file}: ${series.length} series, ${splits.length} windows, seasons ${seasons.join(', ') || 'none'}`,
  )
  const ascending = [...new Set(seasons.filter((season) => season > 1))].sort((a, b) => a - b)
  const started = cpuSeconds()
  // Beside twelve votes of a wide panel it changes nothing (docs/design/forecasting.md).
  const mayJoin = request.net === true && !isWideContest(ascending)
  const trained = mayJoin ? await netOf(splits, horizon, ascending, progress) : undefined
  const training = cpuSeconds() - started
  const library: ModelLibrary = {
    ...trained,
    ...(request.courses === true ? { courses: augursCourses() } : {}),
  }
  const ours = forecastSplits(splits, {
    horizon,
    seasons: ascending,
    scaleSeason: seasons[0] ?? 1,
    stepMs: 1,
    wide: true,
    sharedWidth: true,
    library,
    ...(trained ? { net: NET } : {}),
    historyPoints: Math.max(MOST_POINTS, MOST_CYCLES * (ascending.at(-1) ?? 1)),
    progress: (done, of) => {
      if (done % REPORT_EVERY === 0 || done === of) progress(`${done} of ${of} series`)
    },
  })
  const peers = await peersOf(request, series, seasons)
  print(accuracyTable(`${file}, ${horizon} rows ahead (${ours.series} series)`, { ours }, peers))
  return {
    case: 'forecast',
    figure: ours.mase,
    unit: 'MASE',
    runs: [ours.mase],
    file,
    horizon,
    seasons,
    leftOut: series.length - ours.series,
    ...ours,
    trainingSeconds: training,
    secondsPer1000: ours.secondsPer1000 + (1000 * training) / ours.series,
    peers,
  }
}

/** Throws CONFIG_INVALID if no series of a file can be scored. */
function refuseUnscored(file: string, splits: readonly Split[], horizon: number, season: number): void {
  if (splits.some(({ train, test }) => seasonalScale(train, season) > 0 && test.some(Number.isFinite))) return
  throw new ForestallError('CONFIG_INVALID', `${file}: no series can be scored`, {
    cure:
      splits.length === 0
        ? `Each series needs at least ${horizon + 3} rows: the last ${horizon} are the test part.`
        : `A series needs more than ${season} rows (the season) before its last ${horizon}, and must change from season to season.`,
  })
}

async function peersOf(
  { peers, tools, horizon, run, progress }: CsvRequest,
  series: ReturnType<typeof readSeriesCsv>,
  seasons: readonly number[],
): Promise<PeerRow[]> {
  if (peers.length === 0) return []
  if (!tools) {
    progress('statsforecast was not found: FORESTALL_STATSFORECAST names a Python that has it')
    return []
  }
  const [season = 1, season2] = seasons
  const set = { series, horizon, season, ...(season2 === undefined ? {} : { season2 }) }
  return await runPeers(tools, set, peers, { ...run, progress })
}
