import { parseArgs } from 'node:util'
import { atMost, type Target } from '#core/evaluation'
import { reportError } from '../errors-exit.ts'
import { benchCsv } from './forecast-custom.ts'
import {
  findPeerTools,
  PEER_MODELS,
  type PeerRow,
  type PeerRun,
  type PeerTools,
  runPeers,
} from './forecast-peer.ts'
import { peerCache } from './forecast-peer-cache.ts'
import { type Figures, forecastSplits } from './forecast-run.ts'
import { BENCH_SETS, type BenchSet } from './forecast-sets.ts'
import { accuracyTable } from './forecast-table.ts'

const USAGE = `npm run bench -- forecast [--data DIR] [--only nab,abilene12,abilene288,worldcup] [--peers MODEL,…|none] [--limit SECONDS] [--lanes N] [--fresh-peers] [--short]
npm run bench -- forecast --csv FILE --horizon H --season M [--season2 M2] [--json] [--courses] [--no-net] [--peers MODEL,…]
--season: rows of a season, 1 for none (without it the seasons are looked for). Columns series_id, t, y, or by these names or unique_id, ds, y in any order.
--limit: processor seconds that each other model may take. Rows of other models are kept in .forestall/peer-rows by data, model and version, and said to be
from an earlier run; --fresh-peers measures them again.`

/** One set: ours and every other model on the same windows. */
interface SetResult {
  readonly ours: Figures
  /** Without its calendar, where there is one. */
  readonly withoutEvents?: Figures
  readonly peers: readonly PeerRow[]
}

/** What `npm run bench -- forecast` prints last. Figures at the top level are those of the Numenta set. */
interface ForecastBench {
  readonly case: 'forecast'
  /** Mean MASE. */
  readonly figure: number
  readonly unit: 'MASE'
  /** The best other model of the run, or of the recorded figures. */
  readonly peer: { readonly name: string; readonly figure: number }
  readonly ratio: number
  readonly runs: readonly number[]
  readonly sets: Readonly<Record<string, SetResult>>
  readonly targets: readonly Target[]
}

/** Figures of statsforecast on the whole Numenta corpus (128 windows, two series more than here): near these windows, not the same. */
const RECORDED = { name: 'DOTheta, recorded on 128 windows', figure: 0.833 }
const SECONDS_PER_MODEL = 300
const SHORT_SECONDS = 45
const PEER_ROWS = '.forestall/peer-rows'

const progress = (line: string): void => void process.stderr.write(`${line}\n`)

async function runSet(
  set: BenchSet,
  tools: PeerTools | undefined,
  models: readonly string[],
  run: PeerRun,
): Promise<SetResult> {
  progress(`${set.name}: ${set.splits.length} windows`)
  const ours = forecastSplits(set.splits, set.options)
  const { events = [], ...rest } = set.options
  const withoutEvents = events.length > 0 ? forecastSplits(set.splits, rest) : undefined
  const peers = tools ? await runPeers(tools, set.peer, models, run) : []
  return { ours, ...(withoutEvents ? { withoutEvents } : {}), peers }
}

const finished = (peers: readonly PeerRow[]): PeerRow[] => peers.filter(({ mase }) => Number.isFinite(mase))

function best(peers: readonly PeerRow[]): { name: string; figure: number } | undefined {
  const [first] = finished(peers).sort((a, b) => a.mase - b.mase)
  return first && { name: first.model, figure: first.mase }
}

function targetsOf(sets: Readonly<Record<string, SetResult>>): Target[] {
  const targets: Target[] = []
  const nab = sets['nab']?.ours
  if (nab) {
    targets.push(
      atMost('NAB mean MASE', nab.mase, 0.8),
      atMost('NAB median MASE', nab.median, 0.62),
      atMost('NAB distance of coverage from 0.95', Math.abs(nab.coverage95 - 0.95), 0.02),
      atMost('NAB MSIS', nab.msis, 12),
    )
  }
  for (const [name, { ours, peers }] of Object.entries(sets)) {
    const other = best(peers)
    if (name !== 'nab' && other)
      targets.push(atMost(`${name} MASE below ${other.name}`, ours.mase, other.figure))
  }
  return targets
}

async function benchSets(
  names: readonly string[],
  dataDir: string,
  models: readonly string[],
  run: PeerRun,
): Promise<ForecastBench> {
  const tools = models.length > 0 ? findPeerTools(dataDir) : undefined
  if (!tools && models.length > 0) {
    progress(
      'statsforecast was not found (FORESTALL_STATSFORECAST names a Python that has it): recorded figures stand in',
    )
  }
  const sets: Record<string, SetResult> = {}
  for (const [name, make] of Object.entries(BENCH_SETS)) {
    if (!names.includes(name)) continue
    const set = make(dataDir)
    const result = await runSet(set, tools, models, run)
    sets[name] = result
    const { ours, withoutEvents, peers } = result
    const own = withoutEvents ? { ours, 'ours without the calendar': withoutEvents } : { ours }
    console.log(accuracyTable(`${set.title} (${ours.series} windows)`, own, peers))
  }
  const first = Object.values(sets)[0] as SetResult
  const peer = best(first.peers) ?? RECORDED
  const { mase } = first.ours
  const targets = targetsOf(sets)
  for (const { name, value, target, met } of targets) {
    console.log(`${met ? 'met   ' : 'missed'}  ${name}: ${Number(value.toPrecision(4))} (target ${target})`)
  }
  return {
    case: 'forecast',
    figure: mase,
    unit: 'MASE',
    peer,
    ratio: mase / peer.figure,
    runs: [mase],
    sets,
    targets,
  }
}

async function main(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      data: { type: 'string', default: '../shared/data' },
      only: { type: 'string', default: Object.keys(BENCH_SETS).join(',') },
      peers: { type: 'string' },
      limit: { type: 'string' },
      lanes: { type: 'string', default: '2' },
      'fresh-peers': { type: 'boolean', default: false },
      short: { type: 'boolean', default: false },
      csv: { type: 'string' },
      horizon: { type: 'string' },
      season: { type: 'string' },
      season2: { type: 'string' },
      courses: { type: 'boolean', default: false },
      'no-net': { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) {
    console.log(USAGE)
    return
  }
  const run: Omit<PeerRun, 'progress'> = {
    limitS: Number(values.limit ?? (values.short ? SHORT_SECONDS : SECONDS_PER_MODEL)),
    lanes: Number(values.lanes),
    ...(values['fresh-peers'] ? {} : { cache: peerCache(PEER_ROWS) }),
  }
  const asked = (all: readonly string[]) =>
    values.peers === undefined ? all : values.peers === 'none' ? [] : values.peers.split(',')
  if (values.csv === undefined) {
    const result = await benchSets(values.only.split(','), values.data, asked(PEER_MODELS), {
      ...run,
      progress,
    })
    console.log(JSON.stringify(result))
    return
  }
  const { csv: file, horizon, season, season2 } = values
  const result = await benchCsv({
    file,
    horizon: Number(horizon),
    seasons: [season, season2].filter((m) => m !== undefined).map(Number),
    courses: values.courses,
    net: !values['no-net'],
    peers: asked([]),
    tools: findPeerTools(values.data),
    run,
    print: values.json ? progress : console.log,
    progress,
  })
  console.log(JSON.stringify(result))
}

if (import.meta.main) {
  try {
    await main(process.argv.slice(2))
  } catch (error) {
    process.exitCode = reportError(error)
  }
}
