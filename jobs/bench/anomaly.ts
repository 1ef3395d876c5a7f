import { createHash } from 'node:crypto'
import { renderTable, type Target } from '#core/evaluation'
import { AnomalyDetector } from '#core/forecasting'
import { type LabelledSeries, loadLabelled, type NabResult, nabScore } from './anomaly-nab.ts'
import { contextKnn, windowedGaussian } from './anomaly-peers.ts'

/** What `npm run bench -- anomaly` prints last. */
export interface AnomalyBench {
  readonly case: 'anomaly'
  /** Numenta score of ours, standard profile, on the shipped series. */
  readonly figure: number
  readonly unit: 'NAB score'
  /** Score of context kNN. */
  readonly peer: number
  readonly ratio: number
  readonly runs: readonly number[]
  readonly windowedGaussian: number
  /** Ours, each half of the series scored at the threshold that is best on the other half. */
  readonly crossThreshold: number
  readonly windowsFound: number
  readonly windows: number
  readonly falsePoints: number
  readonly threshold: number
  readonly microsecondsPerPoint: number
  readonly targets: readonly Target[]
}

const TARGET = 60

/** Scores of our detector with its default options. */
export function ourScores({ values }: LabelledSeries): Float64Array {
  const detector = new AnomalyDetector({ features: ['value'] })
  const one = [0]
  return values.map((value) => {
    one[0] = value
    detector.observe(one)
    return detector.score
  })
}

/** A half by the hash of the name, so that no choice of ours is in it. */
const isInFirstHalf = ({ key }: LabelledSeries): boolean =>
  (createHash('sha256').update(key).digest()[0] as number) % 2 === 0

/** Sum over both halves, each at the threshold of the other. */
function crossThreshold(series: readonly LabelledSeries[], scores: readonly Float64Array[]): number {
  const of = (first: boolean) => {
    const own = series.map((_, i) => i).filter((i) => isInFirstHalf(series[i] as LabelledSeries) === first)
    return [own.map((i) => series[i] as LabelledSeries), own.map((i) => scores[i] as Float64Array)] as const
  }
  const [a, b] = [of(true), of(false)]
  const onA = nabScore(...a, nabScore(...b).threshold)
  const onB = nabScore(...b, nabScore(...a).threshold)
  const windows = onA.windows + onB.windows
  return (100 * (onA.sum + onB.sum + windows)) / (2 * windows)
}

function table(rows: readonly (readonly [plan: string, result: NabResult, cross: number])[]): string {
  return renderTable({
    title: 'Anomalies: Numenta score (standard profile), one threshold for all series',
    columns: [
      { key: 'score', heading: 'score', decimals: 1 },
      { key: 'cross', heading: 'threshold of other half', decimals: 1 },
      { key: 'found', heading: 'windows found', decimals: 0 },
      { key: 'windows', heading: 'of', decimals: 0 },
      { key: 'falsePoints', heading: 'false alarms', decimals: 0 },
    ],
    rows: rows.map(([plan, result, cross]) => ({
      plan,
      metrics: {
        score: result.score,
        cross,
        found: result.windowsFound,
        windows: result.windows,
        falsePoints: result.falsePoints,
      },
    })),
  })
}

/** Scores ours and two detectors of the benchmark's scoreboard. `dataDir`: the folder of the replay data. */
export function benchAnomaly(dataDir: string, print: (line: string) => void): AnomalyBench {
  const series = loadLabelled(dataDir)
  const points = series.reduce((sum, { values }) => sum + values.length, 0)
  const beganMs = performance.now()
  const own = series.map(ourScores)
  const microsecondsPerPoint = (1000 * (performance.now() - beganMs)) / points
  const gaussian = series.map(({ values }) => windowedGaussian(values))
  const knn = series.map(({ values }) => contextKnn(values))
  const ours = nabScore(series, own)
  const peer = nabScore(series, knn)
  const yardstick = nabScore(series, gaussian)
  const cross = crossThreshold(series, own)
  print(
    table([
      ['forestall', ours, cross],
      ['context kNN', peer, crossThreshold(series, knn)],
      ['windowed Gaussian', yardstick, crossThreshold(series, gaussian)],
    ]),
  )
  print(`${series.length} series, ${points} points; ours takes ${microsecondsPerPoint.toFixed(2)} us a point`)
  print(
    'Options of ours were chosen on these series; those of the peers by their authors, on the full corpus.',
  )
  return {
    case: 'anomaly',
    figure: ours.score,
    unit: 'NAB score',
    peer: peer.score,
    ratio: ours.score / peer.score,
    runs: [ours.score],
    windowedGaussian: yardstick.score,
    crossThreshold: cross,
    windowsFound: ours.windowsFound,
    windows: ours.windows,
    falsePoints: ours.falsePoints,
    threshold: ours.threshold,
    microsecondsPerPoint,
    targets: [{ name: 'NAB score at least', value: ours.score, target: TARGET, met: ours.score >= TARGET }],
  }
}

if (import.meta.main) {
  const result = benchAnomaly(process.argv[2] ?? '../shared/data', (line) => console.log(line))
  console.log(JSON.stringify(result))
}
