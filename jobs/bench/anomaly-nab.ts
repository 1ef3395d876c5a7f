import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

/** A series in the order of its source, with the index ranges, ends included, in which an anomaly may be found. */
export interface LabelledSeries {
  /** `group/name`. */
  readonly key: string
  readonly values: Float64Array
  readonly windows: readonly { readonly first: number; readonly last: number }[]
}

/** Points at the beginning of a series whose scores do not count: 15 %, at most 750. */
export const probation = (length: number): number => Math.min(Math.floor(0.15 * length), 750)

/** All series of the Numenta set with their windows. `dataDir` holds `b_nab_cloud_metrics`. */
export function loadLabelled(dataDir: string): LabelledSeries[] {
  const folder = join(dataDir, 'b_nab_cloud_metrics')
  const rows = linesOf(gunzipSync(readFileSync(join(folder, 'metrics.csv.gz'))).toString('utf8'))
  const labels = linesOf(readFileSync(join(folder, 'anomaly_labels.csv'), 'utf8'))
  const points = Map.groupBy(rows, ([, group, name]) => `${group}/${name}`)
  return [...points].map(([key, own]) => {
    const indexOf = new Map(own.map(([time = ''], i) => [time, i]))
    const windows = labels
      .filter(([group, name, kind]) => kind === 'window' && `${group}/${name}` === key)
      .map(([, , , start = '', end = '']) => ({
        first: indexOf.get(timeOf(start)) ?? -1,
        last: indexOf.get(timeOf(end)) ?? -1,
      }))
      .sort((a, b) => a.first - b.first)
    return { key, values: Float64Array.from(own, ([, , , value]) => Number(value)), windows }
  })
}

/** A label's time as series have it: without microseconds, and with a T. */
const timeOf = (text: string): string => text.slice(0, 19).replace(' ', 'T')

const linesOf = (text: string): string[][] =>
  text
    .trim()
    .split(/\r?\n/)
    .slice(1)
    .map((line) => line.split(','))

/** Cost of a false alarm in the standard profile; a missed window costs 1, a found one earns up to 1. */
const FALSE_ALARM = 0.11
/** Farther behind a window than this many of its lengths, an alarm has nothing to do with it. */
const FAR = 3

/** 1 well before 0, falling to -1 well behind. */
const falling = (position: number): number => (position > FAR ? -1 : 2 / (1 + Math.exp(5 * position)) - 1)

/** What an alarm at one point is worth: in a window the more the earlier, outside a cost. */
interface Point {
  readonly score: number
  /** Index of the window over all series; -1: none. */
  readonly window: number
  readonly worth: number
}

/** The result of one detector at one threshold. */
export interface NabResult {
  readonly threshold: number
  /** Sum over series, as Numenta's result files have it: a missed window counts -1. */
  readonly sum: number
  /** 0: no alarm at all; 100: every window found at its beginning, and nothing else. */
  readonly score: number
  readonly truePoints: number
  readonly falsePoints: number
  readonly windowsFound: number
  readonly windows: number
}

/**
 * Scores detections by Numenta's rule (Lavin and Ahmad, 2015; standard profile) at one threshold for all series:
 * the given one, or else the best. `scores[i][t]` is the anomaly score of point t of series i.
 */
export function nabScore(
  series: readonly LabelledSeries[],
  scores: readonly Float64Array[],
  threshold?: number,
): NabResult {
  const points = series.flatMap((one, i) => pointsOf(one, scores[i] as Float64Array, firstWindow(series, i)))
  const windows = series.reduce((sum, one) => sum + one.windows.length, 0)
  points.sort((a, b) => b.score - a.score)
  return sweep(points, windows, threshold)
}

const firstWindow = (series: readonly LabelledSeries[], i: number): number =>
  series.slice(0, i).reduce((sum, one) => sum + one.windows.length, 0)

function pointsOf({ windows, values }: LabelledSeries, scores: Float64Array, firstIndex: number): Point[] {
  const points: Point[] = []
  for (let t = probation(values.length); t < values.length; t++) {
    const score = scores[t] as number
    const inside = windows.findIndex(({ first, last }) => t >= first && t <= last)
    const window = windows[inside]
    if (window !== undefined) {
      const position = -(window.last - t + 1) / (window.last - window.first + 1)
      points.push({ score, window: firstIndex + inside, worth: falling(position) / falling(-1) })
      continue
    }
    const before = windows.findLast(({ last }) => last < t)
    const worth = before === undefined ? -1 : falling((t - before.last) / (before.last - before.first))
    points.push({ score, window: -1, worth: FALSE_ALARM * worth })
  }
  return points
}

/** Lowers the threshold from above all scores, and keeps what counts at the threshold asked for, or at the best. */
function sweep(points: readonly Point[], windows: number, threshold?: number): NabResult {
  const found = new Map<number, number>()
  let sum = -windows
  let truePoints = 0
  let best = resultOf({ threshold: Infinity, sum, truePoints, falsePoints: 0, windowsFound: 0, windows })
  for (let i = 0; i < points.length; ) {
    const level = (points[i] as Point).score
    if (threshold !== undefined && level < threshold) break
    for (; i < points.length && points[i]?.score === level; i++) {
      const { window, worth } = points[i] as Point
      if (window < 0) sum += worth
      else {
        const had = found.get(window) ?? -1
        truePoints++
        sum += Math.max(had, worth) - had
        found.set(window, Math.max(had, worth))
      }
    }
    const counts = { truePoints, falsePoints: i - truePoints, windowsFound: found.size, windows }
    const result = resultOf({ threshold: level, sum, ...counts })
    if (threshold !== undefined || result.sum > best.sum) best = result
  }
  return best
}

const resultOf = (counts: Omit<NabResult, 'score'>): NabResult => ({
  ...counts,
  score: (100 * (counts.sum + counts.windows)) / (2 * counts.windows),
})
