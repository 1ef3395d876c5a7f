import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { atMost, type Target } from '#core/evaluation'
import { forecasterBank, globalNet, type KnownEvent, liveBank } from '#core/forecasting'
import { mulberry32 } from '#core/ports'
import { lastBlocks } from './forecast-data.ts'
import { findPeerTools, type PeerRow, runPeers } from './forecast-peer.ts'
import { cpuSeconds, type Figures, forecastSplits } from './forecast-run.ts'
import { flightSeries, hourlySeries } from './forecast-speed-data.ts'
import type { RefitJob } from './forecast-speed-worker.ts'
import { accuracyTable } from './forecast-table.ts'

const HOUR = 3_600_000
const HORIZON = 48
const SEASONS = [24, 168]
/** The champion that is refitted: all members of a panel of two seasons, the dearest there is. */
const CHAMPION = 'panel-24-168'
const POINTS = 1000
const SERIES = 100_000
const SHORT_SERIES = 2000
/** As measured elsewhere on hourly series of 700 to 960 points with both seasons. */
const RECORDED_MSTL = 589
const NET_BATCH = 10_000

/** What `npm run bench -- forecast-speed` prints last. */
interface SpeedBench {
  readonly case: 'forecast-speed'
  /** MSTL's wall-clock time per series on one core over ours (choice of the champion, intervals and forecast). */
  readonly figure: number
  readonly unit: 'times'
  readonly peer: { readonly name: string; readonly secondsPer1000: number; readonly mase: number | null }
  readonly ratio: number
  readonly runs: readonly number[]
  readonly ours: Figures
  readonly refit: {
    readonly series: number
    readonly seconds: number
    readonly cpuSeconds: number
    readonly per100000: number
    readonly workers: number
  }
  readonly online: {
    readonly pointsPerSecond: number
    readonly runs: readonly number[]
    readonly bytesPerSeries: number
    /** Points a second without scores, coverage and yardstick. */
    readonly withoutScores: number
  }
  /** Forecasts of a global network a second on one core. */
  readonly netPerSecond: number
  readonly targets: readonly Target[]
}

const progress = (line: string): void => void process.stderr.write(`${line}\n`)

interface Compared {
  readonly ours: Figures
  /** Wall-clock seconds: what the reference script measures too. */
  readonly wallPer1000: number
  readonly mstl: PeerRow | undefined
}

/** Ours and MSTL on the same hourly windows. */
async function compare(dataDir: string, isShort: boolean): Promise<Compared> {
  const series = flightSeries(dataDir, isShort ? 24 : 60, 960 + HORIZON)
  const splits = lastBlocks(series, HORIZON, 1)
  const options = { horizon: HORIZON, seasons: SEASONS, stepMs: HOUR, nonNegative: true }
  forecastSplits(splits.slice(0, 5), options)
  const started = performance.now()
  const ours = forecastSplits(splits, options)
  const wallPer1000 = (performance.now() - started) / splits.length
  const tools = findPeerTools(dataDir)
  const set = { series, horizon: HORIZON, season: 24, season2: 168 }
  const peers = tools ? await runPeers(tools, set, ['MSTL'], { limitS: 600, progress }) : []
  console.log(
    accuracyTable(
      `Departures per hour, ${HORIZON} hours ahead (${ours.series} series of 960 points)`,
      { ours },
      peers,
    ),
  )
  return { ours, wallPer1000, mstl: peers[0] }
}

/** Wall-clock seconds to refit the champions of `series` series on `workers` threads. */
async function refitAll(series: number, workers: number): Promise<number> {
  const started = performance.now()
  let done = 0
  let told = 0
  const share = Math.ceil(series / workers)
  const lanes = Array.from({ length: workers }, (_, i) => {
    const workerData: RefitJob = {
      from: i * share,
      to: Math.min(series, (i + 1) * share),
      points: POINTS,
      horizon: HORIZON,
      model: CHAMPION,
    }
    const worker = new Worker(new URL('./forecast-speed-worker.ts', import.meta.url), { workerData })
    return new Promise<void>((resolve, reject) => {
      worker.on('message', (message: { done?: number }) => {
        done += message.done ?? 0
        if (done - told >= series / 20) {
          told = done
          progress(`refit: ${done} of ${series} in ${((performance.now() - started) / 1000).toFixed(0)} s`)
        }
      })
      worker.once('error', reject)
      worker.once('exit', (code) =>
        code === 0 ? resolve() : reject(new Error(`refit worker ended with ${code}`)),
      )
    })
  })
  await Promise.all(lanes)
  return (performance.now() - started) / 1000
}

/** Values before the measured rounds; with those of three rounds fewer than the 3,072 at which a young series is fitted again. */
const BEFORE = 2100
const ONLINE = { stepMs: 300_000, horizon: 12, seasons: [288], historyPoints: 2016, refitEvery: 1_000_000 }
const NO_EVENTS: readonly KnownEvent[] = []

/**
 * Points a second of processor time, between fits, with panels as champions: through live forecasters as the pipelines have them (every forecast
 * scored, intervals followed by their coverage, the seasonal naive beside them), and through forecasters without those.
 */
function online(isShort: boolean): SpeedBench['online'] {
  const keys = Array.from({ length: isShort ? 60 : 300 }, (_, i) => `series-${i}`)
  const steps = isShort ? 200 : 300
  const values = keys.map((_, i) => hourlySeries(i, BEFORE + 3 * steps))
  const live = liveBank({ ...ONLINE, nonNegative: true })
  const bare = forecasterBank({ ...ONLINE, nonNegative: true })
  const takers = {
    live: (key: string, timeMs: number, value: number) => live.observe(key, key, timeMs, value, NO_EVENTS),
    bare: (key: string, timeMs: number, value: number) => bare.observe(key, timeMs, value),
  }
  const rates = (take: (key: string, timeMs: number, value: number) => unknown): number[] => {
    const feed = (from: number, to: number): number => {
      const started = cpuSeconds()
      for (let t = from; t < to; t++) {
        for (let i = 0; i < keys.length; i++) {
          take(keys[i] as string, (t + 1) * ONLINE.stepMs, (values[i] as Float64Array)[t] as number)
        }
      }
      return (keys.length * (to - from)) / (cpuSeconds() - started)
    }
    feed(0, BEFORE)
    return [0, 1, 2].map((round) => feed(BEFORE + round * steps, BEFORE + (round + 1) * steps))
  }
  const runs = rates(takers.live)
  progress(`online: live ${runs.map((rate) => rate.toFixed(0)).join(', ')} points a second`)
  return {
    pointsPerSecond: Math.max(...runs),
    runs,
    withoutScores: Math.max(...rates(takers.bare)),
    bytesPerSeries: live.memoryBytes / keys.length,
  }
}

/** Forecasts a second of processor time of a global network: a window of 192 values, two hidden layers of 96, 48 steps ahead. */
function netSeries(): number {
  const random = mulberry32(1)
  const layer = (inputs: number, units: number, activation: 'relu' | 'linear') => ({
    units,
    activation,
    kernel: Float32Array.from({ length: inputs * units }, () => (random.uniform() - 0.5) / Math.sqrt(inputs)),
    bias: new Float32Array(units),
  })
  const layout = { id: 'speed', window: 192, seasons: SEASONS, horizon: HORIZON, levels: [0.5] }
  const dense = [layer(192, 96, 'relu'), layer(96, 96, 'relu'), layer(96, HORIZON, 'linear')]
  const net = globalNet({ layout, dense })
  const windows = Float32Array.from({ length: 192 * NET_BATCH }, () => random.uniform())
  const out = new Float32Array(HORIZON * NET_BATCH)
  const rates = [0, 1, 2].map(() => {
    const started = cpuSeconds()
    net.forecastMany(windows, NET_BATCH, out)
    return NET_BATCH / (cpuSeconds() - started)
  })
  return Math.max(...rates)
}

async function main(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      data: { type: 'string', default: '../shared/data' },
      short: { type: 'boolean', default: false },
      series: { type: 'string' },
      workers: { type: 'string', default: '2' },
    },
  })
  const { ours, wallPer1000, mstl } = await compare(values.data, values.short)
  const live = online(values.short)
  console.log(
    `online: ${live.pointsPerSecond.toFixed(0)} points a second on one core, ${live.bytesPerSeries.toFixed(0)} bytes a series`,
  )
  const netPerSecond = netSeries()
  console.log(`network: ${netPerSecond.toFixed(0)} series a second on one core`)
  const series = Number(values.series ?? (values.short ? SHORT_SERIES : SERIES))
  const workers = Number(values.workers)
  const cpuBefore = cpuSeconds()
  const seconds = await refitAll(series, workers)
  const cpu = cpuSeconds() - cpuBefore
  const per100000 = (seconds * SERIES) / series
  const extrapolated = series === SERIES ? '' : `, ${per100000.toFixed(0)} s for 100,000 (extrapolated)`
  console.log(
    `refit: ${series} champions of ${POINTS} points in ${seconds.toFixed(1)} s on ${workers} threads (${((1000 * cpu) / series).toFixed(2)} ms of processor time each)${extrapolated}`,
  )
  // Beside it in this run: wall clock for both. Against a recorded figure: processor time, which other work does not stretch.
  const isLive = mstl !== undefined && mstl.windows > 0
  const theirs = isLive ? mstl.secondsPer1000 : RECORDED_MSTL
  const figure = theirs / (isLive ? wallPer1000 : ours.secondsPer1000)
  const targets: Target[] = [
    atMost("share of MSTL's time", 1 / figure, 1 / 20),
    ...(isLive ? [atMost("MASE against MSTL's", ours.mase, mstl.mase)] : []),
    atMost('seconds for 100,000 champions', per100000, 600),
    atMost('microseconds per series of a network', 1e6 / netPerSecond, 100),
    atMost('microseconds per online point', 1e6 / live.pointsPerSecond, 1e6 / 300_000),
  ]
  for (const { name, value, target, met } of targets) {
    console.log(
      `${met ? 'met   ' : 'missed'}  ${name}: ${Number(value.toPrecision(4))} (target ${Number(target.toPrecision(4))})`,
    )
  }
  const result: SpeedBench = {
    case: 'forecast-speed',
    figure,
    unit: 'times',
    peer: {
      name: isLive ? 'statsforecast MSTL' : 'statsforecast MSTL, recorded elsewhere',
      secondsPer1000: theirs,
      mase: mstl?.mase ?? null,
    },
    ratio: figure,
    runs: [figure],
    ours,
    refit: { series, seconds, cpuSeconds: cpu, per100000, workers },
    online: live,
    netPerSecond,
    targets,
  }
  console.log(JSON.stringify(result))
}

if (import.meta.main) await main(process.argv.slice(2))
