import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { asCsv, type Series } from './forecast-data.ts'

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

/** Runs models on a set, two at a time, each in a process of its own that is stopped after `limitS` seconds. Order as asked. */
export async function runPeers(
  tools: PeerTools,
  set: PeerSet,
  models: readonly string[],
  limitS: number,
  progress: (line: string) => void,
): Promise<PeerRow[]> {
  const folder = mkdtempSync(join(tmpdir(), 'forestall-peer-'))
  const csv = join(folder, 'series.csv')
  writeFileSync(csv, asCsv(set.series))
  const wanted = models.filter((model) => set.season2 !== undefined || !SECOND_SEASON.has(model))
  const rows: PeerRow[] = []
  let next = 0
  const lane = async (): Promise<void> => {
    for (let i = next++; i < wanted.length; i = next++) {
      const model = wanted[i] as string
      progress(`statsforecast ${model} …`)
      rows[i] = await runModel(tools, set, csv, model, limitS)
    }
  }
  try {
    await Promise.all([lane(), lane()])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return rows
}

async function runModel(
  tools: PeerTools,
  set: PeerSet,
  csv: string,
  model: string,
  limitS: number,
): Promise<PeerRow> {
  const options = {
    '--horizon': set.horizon,
    '--season': set.season,
    '--season2': set.season2,
    '--origins': set.origins,
    '--max-train': set.maxTrain,
  }
  const args = Object.entries(options).flatMap(([name, value]) =>
    value === undefined ? [] : [name, String(value)],
  )
  const env = { ...process.env, OMP_NUM_THREADS: '1', NUMBA_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' }
  const child = spawn(tools.python, [tools.script, csv, ...args, '--models', model], { env })
  let said = ''
  let complained = ''
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  child.stderr.on('data', (chunk: Buffer) => {
    complained += chunk.toString()
  })
  let isLate = false
  const timer = setTimeout(() => {
    isLate = true
    child.kill('SIGKILL')
  }, 1000 * limitS)
  await once(child, 'close')
  clearTimeout(timer)
  return parseRow(model, said) ?? failed(model, isLate ? `not finished in ${limitS} s` : lastLine(complained))
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
})

const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.slice(0, 160) ?? 'no output'
