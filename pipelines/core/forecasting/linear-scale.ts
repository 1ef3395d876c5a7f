import { decodeFloats, encodeFloats, type ForecastModel } from './model.ts'

/** Medians are held above this share of the least value seen (less the offset of the scale they may be below 0, where there is nothing). */
const FLOOR = 0.5
/** Exponents are held inside this. */
const MOST_EXPONENT = 60
const LARGEST = 1e4

/**
 * A model that sees a series of logarithms as plain values again: what is additive there multiplies here, and a trend that is a straight line there is none here.
 * A panel gains by members of both kinds. On series that are not on the log scale it is the inner model itself.
 */
export function linearScale(inner: ForecastModel): ForecastModel {
  /** [spread of the logarithms, centre and unit of the plain values, least value]. */
  const scale = Float32Array.of(0, 0, 1, 0)
  const toPlain = (value: number): number => {
    const [spread, centre, unit] = scale as unknown as [number, number, number]
    if (spread === 0) return value
    const plain =
      (Math.exp(Math.max(-MOST_EXPONENT, Math.min(MOST_EXPONENT, spread * value))) - centre) / unit
    return Math.max(-LARGEST, Math.min(LARGEST, plain))
  }
  const toLog = (plain: number): number => {
    const [spread, centre, unit, least] = scale as unknown as [number, number, number, number]
    return spread === 0 ? plain : Math.log(Math.max(FLOOR * least, centre + unit * plain)) / spread
  }
  return {
    name: `lin-${inner.name}`,
    minPoints: inner.minPoints,
    memoryBytes: inner.memoryBytes + 16,
    fit: (values, logSpread = 0) => {
      scale.set([logSpread, 0, 1, 0])
      if (logSpread > 0) learn(scale, values)
      inner.fit(values.map(toPlain))
    },
    update: (value) => {
      inner.update(toPlain(value))
    },
    forecast: (horizon, out) => {
      inner.forecast(horizon, out)
      for (let h = 0; h < horizon; h++) out[h] = toLog(out[h] as number)
    },
    encode: (writer) => {
      encodeFloats(writer, scale)
      inner.encode(writer)
    },
    decode: (reader) => {
      decodeFloats(reader, scale)
      inner.decode(reader)
    },
  }
}

/** Centre, unit and least of the exponentials of the known values. */
function learn(scale: Float32Array, values: Float64Array): void {
  const spread = scale[0] as number
  let n = 0
  let mean = 0
  let squares = 0
  let least = Infinity
  for (const value of values) {
    if (Number.isNaN(value)) continue
    const plain = Math.exp(Math.max(-MOST_EXPONENT, Math.min(MOST_EXPONENT, spread * value)))
    n++
    const change = plain - mean
    mean += change / n
    squares += change * (plain - mean)
    least = Math.min(least, plain)
  }
  const unit = Math.sqrt(squares / Math.max(1, n))
  scale.set([spread, mean, unit > 1e-9 * mean && Number.isFinite(unit) ? unit : 1, n > 0 ? least : 1])
}
