import type { ByteReader, ByteWriter } from '#core/math'

/**
 * A point forecaster of one series on an even grid of steps. Values arrive in *model scale* (see scale.ts:
 * transformed, centred, of size about 1), so a model needs no care about units; NaN is a gap. Forecasts
 * are medians and always finite. Intervals are not a model's business: conformal.ts learns them from errors.
 */
export interface ForecastModel {
  /** Kind and season, `sarima-288`: what `createModel` takes. */
  readonly name: string
  /** Fewest finite values that `fit` needs to do better than a guess. */
  readonly minPoints: number
  /**
   * Estimates parameters on `values` (oldest first, NaN = gap) and leaves the state at their end. `logSpread`: if they are logarithms, by how much one unit multiplies
   * (as an exponent); 0 or nothing: they are not. Throws nothing.
   */
  fit(values: Float64Array, logSpread?: number): void
  /** One more step in O(1); NaN moves time on without an observation. */
  update(value: number): void
  /** Medians of the next `horizon` steps to `out[0..horizon)`; the state is unchanged. */
  forecast(horizon: number, out: Float64Array): void
  /** Writes parameters and state. */
  encode(writer: ByteWriter): void
  /** Takes over what `encode` of a model of the same name wrote. Throws RangeError when the bytes end early. */
  decode(reader: ByteReader): void
  /** Bytes of parameters and state. */
  readonly memoryBytes: number
}

/** Writes a column of 32-bit floats. */
export function encodeFloats(writer: ByteWriter, values: Float32Array): void {
  for (const value of values) writer.f32(value)
}

/** Reads what `encodeFloats` wrote into `values`. */
export function decodeFloats(reader: ByteReader, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) values[i] = reader.f32()
}
