import type { ByteReader, ByteWriter } from '#core/math'
import { decodeFloats, encodeFloats, type ForecastModel } from './model.ts'

/** The last value, for ever: the model to beat on a random walk. */
export function naive(): ForecastModel {
  return levelModel('naive', 1, 1, () => 1)
}

/**
 * Exponentially weighted level with the weight that gave the least absolute one-step error:
 * between naive (1) and a long mean (0.02). The best *median* accuracy of all on noisy cloud metrics.
 */
export function exponentialLevel(): ForecastModel {
  return levelModel('ses', 3, 0.3, bestWeight)
}

/** The mean of all values since the fit began, each worth the same until 1,000 of them. */
export function mean(): ForecastModel {
  let count = 0
  let level = 0
  const update = (value: number): void => {
    if (Number.isNaN(value)) return
    count = Math.min(1000, count + 1)
    level += (value - level) / count
  }
  return {
    name: 'mean',
    minPoints: 1,
    memoryBytes: 16,
    fit: (values) => {
      count = 0
      level = 0
      for (const value of values) update(value)
    },
    update,
    forecast: (horizon, out) => {
      out.fill(level, 0, horizon)
    },
    encode: (writer) => {
      writer.f64(level)
      writer.varint(count)
    },
    decode: (reader) => {
      level = reader.f64()
      count = reader.varint()
    },
  }
}

/** Steps without a trend are forecast by the last value; a trend is halved every this many steps ahead. */
const TREND_HALF_LIFE = 8
const DAMPING = 0.5 ** (1 / TREND_HALF_LIFE)

/** The last value plus the mean step so far, damped: for series that grow from a cold start. */
export function drift(): ForecastModel {
  let count = 0
  let first = 0
  let last = 0
  const update = (value: number): void => {
    if (count > 0) count++
    if (Number.isNaN(value)) return
    if (count === 0) {
      first = value
      count = 1
    }
    last = value
  }
  return {
    name: 'drift',
    minPoints: 3,
    memoryBytes: 24,
    fit: (values) => {
      count = 0
      for (const value of values) update(value)
    },
    update,
    forecast: (horizon, out) => {
      let step = count > 1 ? (last - first) / (count - 1) : 0
      let level = count > 0 ? last : 0
      for (let h = 0; h < horizon; h++) {
        step *= DAMPING
        level += step
        out[h] = level
      }
    },
    encode: (writer) => {
      writer.varint(count)
      writer.f64(first)
      writer.f64(last)
    },
    decode: (reader) => {
      count = reader.varint()
      first = reader.f64()
      last = reader.f64()
    },
  }
}

/** The value one season ago; a gap repeats the season before it. */
export function seasonalNaive(season: number): ForecastModel {
  const ring = new Float32Array(season)
  let at = 0
  let seen = 0
  let latest = 0
  const update = (value: number): void => {
    const gap = Number.isNaN(value)
    if (!gap) latest = value
    if (!gap || seen < season) ring[at] = gap ? latest : value
    at = at + 1 === season ? 0 : at + 1
    if (seen < season) seen++
  }
  return {
    name: `seasonal-naive-${season}`,
    minPoints: season,
    memoryBytes: 4 * season + 24,
    fit: (values) => {
      at = 0
      seen = 0
      latest = values.find((value) => !Number.isNaN(value)) ?? 0
      for (const value of values) update(value)
    },
    update,
    forecast: (horizon, out) => {
      for (let h = 0; h < horizon; h++) out[h] = seen < season ? latest : (ring[(at + h) % season] as number)
    },
    encode: (writer) => {
      writer.varint(at)
      writer.varint(seen)
      writer.f64(latest)
      encodeFloats(writer, ring)
    },
    decode: (reader) => {
      at = reader.varint() % season
      seen = reader.varint()
      latest = reader.f64()
      decodeFloats(reader, ring)
    },
  }
}

/** The mean of two models' forecasts: their errors are different, so the mean of both beats either on most series. */
export function blend(name: string, first: ForecastModel, second: ForecastModel): ForecastModel {
  let scratch = new Float64Array(0)
  return {
    name,
    minPoints: Math.max(first.minPoints, second.minPoints),
    memoryBytes: first.memoryBytes + second.memoryBytes,
    fit: (values, logSpread) => {
      first.fit(values, logSpread)
      second.fit(values, logSpread)
    },
    update: (value) => {
      first.update(value)
      second.update(value)
    },
    forecast: (horizon, out) => {
      if (scratch.length < horizon) scratch = new Float64Array(horizon)
      first.forecast(horizon, out)
      second.forecast(horizon, scratch)
      for (let h = 0; h < horizon; h++) out[h] = ((out[h] as number) + (scratch[h] as number)) / 2
    },
    encode: (writer) => {
      first.encode(writer)
      second.encode(writer)
    },
    decode: (reader) => {
      first.decode(reader)
      second.decode(reader)
    },
  }
}

const WEIGHTS = [0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1]

function bestWeight(values: Float64Array): number {
  let best = 1
  let least = Infinity
  for (const weight of WEIGHTS) {
    let level = NaN
    let cost = 0
    for (const value of values) {
      if (Number.isNaN(value)) continue
      if (Number.isNaN(level)) level = value
      cost += Math.abs(value - level)
      level += weight * (value - level)
    }
    if (cost < least) {
      least = cost
      best = weight
    }
  }
  return best
}

function levelModel(
  name: string,
  minPoints: number,
  first: number,
  choose: (values: Float64Array) => number,
): ForecastModel {
  let weight = first
  let level = NaN
  const update = (value: number): void => {
    if (Number.isNaN(value)) return
    level = Number.isNaN(level) ? value : level + weight * (value - level)
  }
  return {
    name,
    minPoints,
    memoryBytes: 16,
    fit: (values) => {
      weight = choose(values)
      level = NaN
      for (const value of values) update(value)
    },
    update,
    forecast: (horizon, out) => {
      out.fill(Number.isNaN(level) ? 0 : level, 0, horizon)
    },
    encode: (writer: ByteWriter) => {
      writer.f64(level)
      writer.f32(weight)
    },
    decode: (reader: ByteReader) => {
      level = reader.f64()
      weight = reader.f32()
    },
  }
}
