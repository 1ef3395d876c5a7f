import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { initSync as initMstl, MSTL } from '@bsull/augurs/mstl'
import { initSync as initProphet, Prophet } from '@bsull/augurs/prophet'
import { optimizer } from '@bsull/augurs-prophet-wasmstan'

/** The fitted course of all values followed by the next `ahead` steps; undefined: the library found none. `values` must have no gaps. */
type CourseFit = (values: Float64Array, seasons: readonly number[], ahead: number) => Float64Array | undefined

/** Any step does: Prophet only needs evenly spaced seconds. */
const STEP_S = 3600
const STEPS_PER_DAY = 24
const FIRST_S = 1_600_000_000
/** Fourier terms per season: enough for an hourly day, few enough for a short history. */
const MOST_TERMS = 8

const wasm = (name: string): Buffer =>
  readFileSync(fileURLToPath(import.meta.resolve(name)).replace(/\.js$/, '_bg.wasm'))

let isLoaded = false

/** Loads both modules once: the library asks for bytes, a path or address it would fetch. */
function load(): void {
  if (isLoaded) return
  initMstl({ module: wasm('@bsull/augurs/mstl') })
  initProphet({ module: wasm('@bsull/augurs/prophet') })
  isLoaded = true
}

/** The courses of augurs (Grafana's Rust library in WASM): `mstl` and `prophet`, for the library of models. Loads two modules of 1 MB, once. */
export function augursCourses(): Readonly<Record<'mstl' | 'prophet', CourseFit>> {
  load()
  return { mstl, prophet }
}

function mstl(values: Float64Array, seasons: readonly number[], ahead: number): Float64Array | undefined {
  const usable = seasons.filter((season) => values.length > 2 * season)
  if (usable.length === 0) return undefined
  return attempt(() => {
    const model = MSTL.ets([...usable])
    try {
      model.fit(values)
      return joined(model.predictInSample().point, model.predict(ahead).point)
    } finally {
      model.free()
    }
  })
}

function prophet(values: Float64Array, seasons: readonly number[], ahead: number): Float64Array | undefined {
  return attempt(() => {
    const off = { type: 'manual', enabled: false } as const
    const model = new Prophet({
      optimizer,
      yearlySeasonality: off,
      weeklySeasonality: off,
      dailySeasonality: off,
      uncertaintySamples: 0,
    })
    try {
      for (const season of seasons) {
        const fourierOrder = Math.min(MOST_TERMS, Math.floor(season / 2))
        model.addSeasonality(`every-${season}`, { period: season / STEPS_PER_DAY, fourierOrder })
      }
      const ds = Array.from({ length: values.length + ahead }, (_, t) => FIRST_S + t * STEP_S)
      model.fit({ ds: ds.slice(0, values.length), y: values })
      return Float64Array.from(model.predict({ ds }).yhat.point)
    } finally {
      model.free()
    }
  })
}

const joined = (fitted: readonly number[], next: readonly number[]): Float64Array =>
  Float64Array.from([...fitted, ...next])

/** A series that the library refuses has no course; it says so by throwing text. */
function attempt(fit: () => Float64Array): Float64Array | undefined {
  try {
    const course = fit()
    return course.every(Number.isFinite) ? course : undefined
  } catch {
    return undefined
  }
}
