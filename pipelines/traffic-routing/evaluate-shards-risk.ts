import { nearestRank, sorted } from '#core/evaluation'

/** The forecaster of the evaluation page looks two intervals back: what a plan made one interval ahead knows. */
const LAG = 2
const RIDGE = 1

/** Values of one stream on a log scale, floored at 1 % of the training mean. */
function logDemand(demands: readonly Float64Array[], stream: number, train: number): Float64Array {
  let mean = 0
  for (let i = 0; i < train; i++) mean += demands[i]![stream]! / train
  const floor = Math.max(mean * 1e-2, 1e-9)
  return Float64Array.from({ length: train }, (_, i) => Math.log(Math.max(demands[i]![stream]!, floor)))
}

function meanOf(values: Float64Array, from: number, end: number): number {
  let sum = 0
  for (let i = from; i < end; i++) sum += values[i]!
  return sum / (end - from)
}

/** Features per target: last, mean of 3, mean of 12, max of 12, EWMA(0.3), with a clock the day before, and a constant. */
function features(log: Float64Array, first: number, daily: number): Float64Array[] {
  const centre = meanOf(log, 0, log.length)
  const rows: Float64Array[] = []
  let smooth = log[0]!
  for (let known = 1, target = known + LAG; target < log.length; known++, target++) {
    smooth = 0.3 * log[known]! + 0.7 * smooth
    if (target < first) continue
    const row = [log[known]!, meanOf(log, known - 2, known + 1), meanOf(log, known - 11, known + 1)]
    row.push(Math.max(...log.subarray(known - 11, known + 1)), smooth)
    if (daily > 0)
      row.push(
        meanOf(log, target - daily - 1, target - daily + 2),
        meanOf(log, known - daily - 1, known - daily + 2),
      )
    rows.push(Float64Array.of(...row.map((value) => value - centre), 1))
  }
  return rows
}

/** Solves (X'X + ridge I) b = X'y by elimination with pivoting. */
function ridge(rows: readonly Float64Array[], y: Float64Array): Float64Array {
  const n = rows[0]!.length
  const system = Array.from({ length: n }, (_, i) =>
    Float64Array.from({ length: n + 1 }, (_, j) => {
      let sum = i === j ? RIDGE : 0
      for (let r = 0; r < rows.length; r++) sum += rows[r]![i]! * (j === n ? y[r]! : rows[r]![j]!)
      return sum
    }),
  )
  for (let c = 0; c < n; c++) {
    let pivot = c
    for (let r = c + 1; r < n; r++) if (Math.abs(system[r]![c]!) > Math.abs(system[pivot]![c]!)) pivot = r
    ;[system[c], system[pivot]] = [system[pivot]!, system[c]!]
    for (let r = 0; r < n; r++) {
      if (r === c) continue
      const factor = system[r]![c]! / system[c]![c]!
      for (let j = c; j <= n; j++) system[r]![j]! -= factor * system[c]![j]!
    }
  }
  return Float64Array.from(system, (row, i) => row[n]! / row[i]!)
}

/**
 * Risk per stream as the evaluation page sets it: clip((q97 / q50 - 1) / 4, 0, 1) of a ridge autoregression of the log
 * demand, fitted on the first `train` matrices. The forecast itself cancels out: only the residuals matter.
 */
export function spreadRisk(demands: readonly Float64Array[], train: number, daily: number): Float64Array {
  const first = daily > 0 ? daily + LAG + 3 : 12 + LAG
  return Float64Array.from(demands[0]!, (_, stream) => {
    const log = logDemand(demands, stream, train)
    const centre = meanOf(log, 0, log.length)
    const rows = features(log, first, daily)
    const y = log.slice(first).map((value) => value - centre)
    const weights = ridge(rows, y)
    const residuals = sorted(
      rows.map((row, r) => y[r]! - row.reduce((sum, value, i) => sum + value * weights[i]!, 0)),
    )
    const ratio = Math.exp(nearestRank(residuals, 0.97) - nearestRank(residuals, 0.5))
    return Math.min(1, Math.max(0, (ratio - 1) / 4))
  })
}
