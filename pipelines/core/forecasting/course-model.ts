import { decodeFloats, encodeFloats, type ForecastModel } from './model.ts'
import type { CourseFit } from './model-library.ts'
import { filledGaps } from './profiles.ts'

/** Steps ahead that a fit must cover at least: a forecaster fits again long before. */
const LEAST_AHEAD = 600
/** A deviation is not believed to last for ever. */
const MOST_PERSISTENCE = 0.995

/**
 * A course fitted elsewhere (Prophet, MSTL), continued online: forecast = course + persistence^h times the last deviation from it. The
 * course is kept for the steps that it was asked for and repeats its last season after them. Update O(1).
 */
export function courseModel(kind: string, fit: CourseFit, seasons: readonly number[]): ForecastModel {
  const season = seasons.at(-1) ?? 1
  const ahead = Math.max(LEAST_AHEAD, 2 * season)
  const course = new Float32Array(ahead)
  let at = 0
  let deviation = 0
  let persistence = 0
  const courseAt = (h: number): number =>
    course[at + h < ahead ? at + h : ahead - season + ((at + h - ahead) % season)] as number
  const update = (value: number): void => {
    deviation = Number.isNaN(value) ? deviation * persistence : value - courseAt(0)
    at++
  }
  return {
    name: [kind, ...seasons].join('-'),
    minPoints: 2 * season + 10,
    memoryBytes: course.byteLength + 24,
    fit: (values) => {
      const filled = filledGaps(values, season)
      const found = fit(filled, seasons, ahead)
      const known =
        found !== undefined && found.length === filled.length + ahead && found.every(Number.isFinite)
      const whole = known ? found : flat(filled, ahead)
      course.set(whole.subarray(filled.length))
      const rest = filled.map((value, t) => value - (whole[t] as number))
      persistence = lagOne(rest)
      deviation = rest.at(-1) ?? 0
      at = 0
    },
    update,
    forecast: (horizon, out) => {
      let rest = deviation
      for (let h = 0; h < horizon; h++) {
        rest *= persistence
        out[h] = courseAt(h) + rest
      }
    },
    encode: (writer) => {
      writer.varint(at)
      writer.f64(deviation)
      writer.f64(persistence)
      encodeFloats(writer, course)
    },
    decode: (reader) => {
      at = reader.varint()
      deviation = reader.f64()
      persistence = reader.f64()
      decodeFloats(reader, course)
    },
  }
}

/** The mean, when no course was found. */
function flat(values: Float64Array, ahead: number): Float64Array {
  const mean = values.length > 0 ? values.reduce((a, b) => a + b, 0) / values.length : 0
  return new Float64Array(values.length + ahead).fill(mean)
}

function lagOne(rest: Float64Array): number {
  let both = 0
  let square = 0
  for (let t = 1; t < rest.length; t++) {
    both += (rest[t] as number) * (rest[t - 1] as number)
    square += (rest[t - 1] as number) ** 2
  }
  return square > 0 ? Math.max(0, Math.min(MOST_PERSISTENCE, both / square)) : 0
}
