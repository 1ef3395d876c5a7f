import { LEVELS } from '#core/math'
import { probabilityCrossed } from './crossing.ts'
import { type EventEvidence, eventShift } from './evidence.ts'
import type { HorizonRisk } from './horizon.ts'
import type { RiskInput } from './input.ts'
import { inPercent, inTime, inWords } from './words.ts'

/** Log-odds below which a driver is not worth a sentence. */
const WORTH_SAYING = 0.1
const Q025 = 0
const Q99 = LEVELS - 1
/** What counts as no risk: importance is measured in log-odds above it. */
const CALM = 0.01

interface Driver {
  readonly weight: number
  readonly text: string
}

/**
 * Why the probability is what it is, most important first. Weights are log-odds: the level is what the risk would be if the median
 * stayed at the last value, the trend what the forecast median adds, the spread what the interval adds to
 * the median, anomaly and events what they add.
 */
export function driversInWords(
  input: RiskInput,
  found: HorizonRisk,
  anomalyWeight: number,
  events: readonly EventEvidence[],
): string[] {
  const drivers = [...forecastDrivers(input, found), ...events.map((event) => eventDriver(input, event))]
  const { anomaly } = input
  if (anomaly && anomalyWeight > 0) {
    const way = anomaly.direction > 0 ? 'above' : 'below'
    const rarity = `score ${inWords(anomaly.score)}`
    drivers.push({
      weight: anomalyWeight,
      text: `${anomaly.feature} is unusually far ${way} its past (${rarity})`,
    })
  }
  const said = drivers.filter((driver) => driver.weight >= WORTH_SAYING).sort((a, b) => b.weight - a.weight)
  return said.length > 0 ? said.map((driver) => driver.text) : [calmDriver(input)]
}

function forecastDrivers(input: RiskInput, found: HorizonRisk): Driver[] {
  const { quantiles, limit, side, unit, last } = input
  const at = (found.worstStep - 1) * LEVELS
  const median = quantiles[at + 2] as number
  const when = inTime(found.worstStep * input.stepMs)
  const total = logOdds(found.probability) - logOdds(CALM)
  const isOver = side === 'above' ? median > limit : median < limit
  const known = last !== undefined && Number.isFinite(last)
  const still = known
    ? probabilityCrossed(moved(quantiles, at, last - median), limit, side)
    : found.worstProbability
  const level = Math.max(0, Math.min(total, logOdds(still) - logOdds(CALM)))
  const now = known ? last : median
  const drivers: Driver[] = [
    {
      weight: level,
      text: `${known ? 'now' : `median in ${when}`} at ${inWords(now, unit)}, ${ofLimit(now, input)}`,
    },
  ]
  const isTowards = side === 'above' ? median > now : median < now
  if (known && isTowards) {
    const way = side === 'above' ? 'rise' : 'fall'
    const text = `forecast to ${way} from ${inWords(now, unit)} to ${inWords(median, unit)} in ${when} (median)`
    drivers.push({ weight: total - level, text })
  }
  if (!isOver) {
    const edge = quantiles[at + (side === 'above' ? Q99 : Q025)] as number
    const name = side === 'above' ? 'q99' : 'q025'
    const reaches = side === 'above' ? edge > limit : edge < limit
    const text = `wide forecast: ${name} in ${when} is ${inWords(edge, unit)}, the median ${inWords(median, unit)}`
    if (reaches) drivers.push({ weight: total / 2, text })
  }
  return drivers
}

function eventDriver(input: RiskInput, event: EventEvidence): Driver {
  const wait = event.validFromMs - input.issuedAtMs
  const when = wait > 0 ? `in ${inTime(wait)}` : 'now'
  return {
    weight: eventShift(event),
    text: `${event.kind} ${when}: ${event.summary} (severity ${inWords(event.severity)})`,
  }
}

/** Names the outermost quantile of all steps: nothing is expected beyond it. */
function calmDriver(input: RiskInput): string {
  const isAbove = input.side === 'above'
  let edge = isAbove ? -Infinity : Infinity
  for (let h = 0; h < input.steps; h++) {
    const outer = input.quantiles[h * LEVELS + (isAbove ? Q99 : Q025)] as number
    edge = isAbove ? Math.max(edge, outer) : Math.min(edge, outer)
  }
  const within = inTime(input.steps * input.stepMs)
  return `calm: ${isAbove ? 'q99' : 'q025'} within ${within} is ${inWords(edge, input.unit)}, ${ofLimit(edge, input)}`
}

function ofLimit(value: number, { limit, unit }: RiskInput): string {
  const named = `the limit ${inWords(limit, unit)}`
  return limit > 0 && value >= 0 ? `${inPercent(value / limit)} of ${named}` : `against ${named}`
}

function moved(quantiles: ArrayLike<number>, at: number, by: number): Float64Array {
  return Float64Array.from({ length: LEVELS }, (_, level) => (quantiles[at + level] as number) + by)
}

function logOdds(probability: number): number {
  const inside = Math.max(1e-6, Math.min(1 - 1e-6, probability))
  return Math.log(inside / (1 - inside))
}
