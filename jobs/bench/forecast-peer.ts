import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { asCsv, type Series } from './forecast-data.ts'
import { type PeerCache, peerKey } from './forecast-peer-cache.ts'

/** Where the reference script and a Python with statsforecast are; undefined if either is missing. */
export interface PeerTools {
  readonly python: string
  readonly script: string
}

/** The same windows for the reference script. */
export interface PeerSet {
  readonly series: readonly Series[]
  readonly horizon: number
  readonly season: number
  readonly season2?: number
  readonly origins?: number
  readonly maxTrain?: number
}

/** What the script printed for a model; undefined figures: it failed or did not finish in time. */
export interface PeerRow {
  readonly model: string
  readonly mase: number
  readonly median: number
  readonly coverage95: number
  readonly msis: number
  readonly secondsPer1000: number
  /** Windows that it forecast. */
  readonly windows: number
  /** Why there are no figures; '' if there are. */
  readonly failure: string
  /** When it ran, ISO. */
  readonly measuredAt: string
  /** It did not run now: an earlier run of the same model, version, script and windows said so. */
  readonly isEarlier: boolean
}

/** How models are run. */
export interface PeerRun {
  /** Processor seconds that each model may take. */
  readonly limitS: number
  /** Models at a time; default 2. */
  readonly lanes?: number
  /** Rows of earlier runs; without it all run now. */
  readonly cache?: PeerCache
  readonly progress: (line: string) => void
}

/** Every model of the reference script. */
export const PEER_MODELS = [
  'Naive',
  'SeasonalNaive',
  'SeasonalNaive2',
  'MSTL',
  'MSTL1',
  'DOTheta',
  'AutoTheta',
  'ETSnonseasonal',
  'AutoETS',
  'HoltWinters',
  'AutoCES',
  'ARIMAfixed',
  'AutoARIMA',
]
const SECOND_SEASON = new Set(['SeasonalNaive2', 'MSTL1'])

/** Looks for `FORESTALL_STATSFORECAST` (a Python) or `.forestall/statsforecast`, and the script beside the data. */
export function findPeerTools(dataDir: string): PeerTools | undefined {
  const python = process.env['FORESTALL_STATSFORECAST'] ?? '.forestall/statsforecast/bin/python'
  const script = join(dataDir, '..', 'bench', 'statsforecast_reference.py')
  return existsSync(python) && existsSync(script) ? { python, script } : undefined
}

/** A model gets this many times its processor seconds by the clock: other work may slow it down, but not for ever. */
const CLOCK_SHARE = 4

/**
 * Runs models on a set, each in a process of its own that is stopped after its share of processor time; those that the cache knows
 * do not run. Order as asked.
 */
export async function runPeers(
  tools: PeerTools,
  set: PeerSet,
  models: readonly string[],
  run: PeerRun,
): Promise<PeerRow[]> {
  const folder = mkdtempSync(join(tmpdir(), 'forestall-peer-'))
  const csv = join(folder, 'series.csv')
  const text = asCsv(set.series)
  writeFileSync(csv, text)
  const base = [peerVersion(tools), readFileSync(tools.script), text, setArguments(set).join(' ')]
  const wanted = models.filter((model) => set.season2 !== undefined || !SECOND_SEASON.has(model))
  const rows: PeerRow[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    for (let i = next++; i < wanted.length; i = next++) {
      const model = wanted[i] as string
      const key = peerKey(...base, model)
      const known = run.cache?.find(key, run.limitS)
      if (known) {
        rows[i] = { ...known, isEarlier: true }
        continue
      }
      run.progress(`statsforecast ${model} …`)
      const row = await runModel(tools, set, csv, model, run.limitS)
      run.progress(`statsforecast ${model}: ${row.windows > 0 ? `MASE ${row.mase}` : row.failure}`)
      run.cache?.keep(key, run.limitS, row)
      rows[i] = row
    }
  }
  try {
    await Promise.all(Array.from({ length: run.lanes ?? 2 }, lane))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return rows
}

/** Versions of what computes: a new one makes earlier rows useless. */
function peerVersion({ python }: PeerTools): string {
  const code =
    'import sys, numpy, statsforecast; print(sys.version, numpy.__version__, statsforecast.__version__)'
  const { stdout, status } = spawnSync(python, ['-c', code], { encoding: 'utf8' })
  return status === 0 ? stdout : `unknown ${Date.now()}`
}

function setArguments(set: PeerSet): string[] {
  const options = {
    '--horizon': set.horizon,
    '--season': set.season,
    '--season2': set.season2,
    '--origins': set.origins,
    '--max-train': set.maxTrain,
  }
  return Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [name, String(value)],
  )
}

async function runModel(
  tools: PeerTools,
  set: PeerSet,
  csv: string,
  model: string,
  limitS: number,
): Promise<PeerRow> {
  const env = { ...process.env, OMP_NUM_THREADS: '1', NUMBA_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' }
  const command = [tools.python, tools.script, csv, ...setArguments(set), '--models', model]
  const child = spawn('/bin/sh', ['-c', 'ulimit -t "$0"; exec "$@"', String(limitS), ...command], { env })
  let said = ''
  let complained = ''
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    complained += chunk.toString()
  })
  let isLate = false
  const timer = setTimeout(
    () => {
      isLate = true
      child.kill('SIGKILL')
    },
    1000 * limitS * CLOCK_SHARE,
  )
  const [, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  clearTimeout(timer)
  const late = isLate
    ? `not finished in ${CLOCK_SHARE * limitS} s by the clock`
    : `not finished in ${limitS} s of processor time`
  return parseRow(model, said) ?? failed(model, signal ? late : lastLine(complained))
}

const FIGURES =
  /^\S+\s+(\d+) MASE\s+(\S+) med\s+(\S+) cov\S*\s+(\S+) MSIS\s+(\S+) bad (\d+) secs\s+\S+\s+s\/1000\s+(\S+)/m

function parseRow(model: string, said: string): PeerRow | undefined {
  const found = FIGURES.exec(
    said
      .split('\n')
      .filter((line) => !line.startsWith('#'))
      .join('\n'),
  )
  if (!found) return undefined
  const [
    windows = NaN,
    mase = NaN,
    median = NaN,
    coverage95 = NaN,
    msis = NaN,
    bad = NaN,
    secondsPer1000 = NaN,
  ] = found.slice(1).map(Number)
  return {
    model,
    mase,
    median,
    coverage95,
    msis,
    secondsPer1000,
    windows,
    failure: bad > 0 ? `${bad} windows without a finite forecast are left out` : '',
    measuredAt: new Date().toISOString(),
    isEarlier: false,
  }
}

const failed = (model: string, failure: string): PeerRow => ({
  model,
  mase: Number.NaN,
  median: Number.NaN,
  coverage95: Number.NaN,
  msis: Number.NaN,
  secondsPer1000: Number.NaN,
  windows: 0,
  failure,
  measuredAt: new Date().toISOString(),
  isEarlier: false,
})

const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.slice(0, 160) ?? 'no output'
