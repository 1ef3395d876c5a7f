import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { ForestallError } from '#core/ports'
import { type Network } from './network.ts'
import { parseAbileneDemands, parseAbileneNetwork, parsePod, parsePodDemands } from './network-files.ts'

/** Matrices in order, split into what may be learnt from and what is scored. */
export interface TrafficCase {
  /** `pod_a`, `pod_b`, `abilene`, or with another period behind it `…_next`. */
  readonly name: string
  readonly network: Network
  readonly demands: readonly Float64Array[]
  /** Rows before this one are the training period; the rest is scored. */
  readonly train: number
  /** Intervals per day; 0 = the data have no clock. */
  readonly daily: number
  /** Published optima per row, where the folder has them; NaN elsewhere. */
  readonly published: Float64Array
}

/** Intervals of 5 minutes in a day. */
const DAY = 288

const text = (path: string) =>
  path.endsWith('.gz') ? gunzipSync(readFileSync(path)).toString() : readFileSync(path, 'utf8')

function readOptima(path: string, rows: number): Float64Array {
  if (!existsSync(path)) return new Float64Array(rows).fill(NaN)
  return Float64Array.from(text(path).trim().split(/\r?\n/), Number)
}

/** The pod `x` of a folder: train and test files; without a test file the last third of the training file is scored. */
function loadPod(folder: string, x: string, next: string | undefined): TrafficCase {
  const file = (name: string) => join(folder, `pod_${x}_${name}`)
  const pod = parsePod(text(file('topology.json')), text(file('paths.txt')))
  const parts: Float64Array[][] = []
  const optima: number[] = []
  const add = (base: string) => {
    if (!existsSync(`${base}.hist.gz`)) return false
    const rows = parsePodDemands(text(`${base}.hist.gz`), pod)
    parts.push(rows)
    optima.push(...readOptima(`${base}.opt.gz`, rows.length))
    return true
  }
  if (!add(file('train')))
    throw new ForestallError('CONFIG_INVALID', `--data = ${folder}: no pod_${x}_train.hist.gz`)
  const trained = parts[0]!.length
  const tested = add(file('test'))
  const before = parts.flat().length
  if (next !== undefined) for (const part of ['train', 'test', 'next']) add(join(next, `pod_${x}_${part}`))
  const demands = parts.flat()
  const isNext = demands.length > before
  const train = isNext ? before : tested ? trained : Math.floor((trained * 2) / 3)
  return {
    name: `pod_${x}${isNext ? '_next' : ''}`,
    network: pod.network,
    demands,
    train,
    daily: 0,
    published: Float64Array.from(optima),
  }
}

/** One or two weeks of Abilene: five days of seven train, two are scored; with a second folder it is scored whole. */
function loadAbilene(folder: string, next: string | undefined): TrafficCase {
  const network = parseAbileneNetwork(text(join(folder, 'nodes.csv')), text(join(folder, 'links.csv')))
  const first = parseAbileneDemands(text(join(folder, 'od_traffic.csv.gz')), network)
  const second = next === undefined ? [] : parseAbileneDemands(text(join(next, 'od_traffic.csv.gz')), network)
  const days = Math.floor(first.length / DAY)
  const train = next === undefined ? Math.max(1, Math.floor((days * 5) / 7)) * DAY : first.length
  const demands = [...first, ...second]
  return {
    name: next === undefined ? 'abilene' : 'abilene_next',
    network,
    demands,
    train,
    daily: DAY,
    published: new Float64Array(demands.length).fill(NaN),
  }
}

/**
 * The cases of a folder: every pod found there, or the Abilene matrices. `next` = a folder of the same form with the
 * period that follows. Throws CONFIG_INVALID if the folder holds neither.
 */
export function loadCases(folder: string, next?: string): TrafficCase[] {
  if (existsSync(join(folder, 'od_traffic.csv.gz'))) return [loadAbilene(folder, next)]
  const pods = 'abcdefghijklmnopqrstuvwxyz'
    .split('')
    .filter((x) => existsSync(join(folder, `pod_${x}_topology.json`)))
  if (pods.length === 0)
    throw new ForestallError('CONFIG_INVALID', `--data = ${folder}`, {
      cure: 'Name a folder with od_traffic.csv.gz, links.csv and nodes.csv, or with pod_<x>_topology.json, _paths.txt and _train.hist.gz.',
    })
  return pods.map((x) => loadPod(folder, x, next))
}
