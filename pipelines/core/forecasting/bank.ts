import { ByteReader, ByteWriter, LEVELS, murmur3Text } from '#core/math'
import { ForestallError } from '#core/ports'
import { type ForecasterOptions, type ResolvedOptions, resolveOptions } from './forecaster-options.ts'
import { type Observation, SeriesForecaster } from './series-forecaster.ts'

/** Version of the snapshot's layout; one that differs is refused. */
const VERSION = 3

/** The forecasters of many series of one kind, by key. */
export interface ForecasterBank {
  readonly options: ResolvedOptions
  /** Number of series. */
  readonly size: number
  /** Bytes of state of all series. */
  readonly memoryBytes: number
  /** Takes one value; a key not seen before starts a series. */
  observe(key: string, timeMs: number, value: number): Observation
  /** The forecaster of a key, if it has been seen. */
  get(key: string): SeriesForecaster | undefined
  /** Keys in the order they were first seen. */
  keys(): IterableIterator<string>
  /**
   * Forecasts of many series: quantiles of key i, step h, level l at `out[(i * horizon + h - 1) * 6 + l]`.
   * Unknown keys and series without a value give NaN. Returns how many series had a forecast.
   */
  forecastMany(keys: readonly string[], out: Float64Array): number
  /** Drops series whose last window ended before `timeMs`; returns how many. */
  expire(timeMs: number): number
  /** All series as bytes: after `restore` everything goes on as if nothing had happened. */
  snapshot(): Uint8Array
  /** Replaces all series by those of a snapshot. Throws STATE_UNREADABLE if it was made by other options or another version. */
  restore(snapshot: Uint8Array): void
}

/** An empty bank. Throws CONFIG_INVALID. */
export function forecasterBank(options: ForecasterOptions): ForecasterBank {
  const resolved = resolveOptions(options)
  const fingerprint = murmur3Text(JSON.stringify(resolved, Object.keys(resolved).sort()))
  const series = new Map<string, SeriesForecaster>()
  const make = (key: string) =>
    new SeriesForecaster({ ...resolved, phase: murmur3Text(key) % resolved.refitEvery })
  const start = (key: string): SeriesForecaster => {
    const forecaster = make(key)
    series.set(key, forecaster)
    return forecaster
  }
  return {
    options: resolved,
    get size() {
      return series.size
    },
    get memoryBytes() {
      return [...series.values()].reduce((sum, forecaster) => sum + forecaster.memoryBytes, 0)
    },
    observe: (key, timeMs, value) => (series.get(key) ?? start(key)).observe(timeMs, value),
    get: (key) => series.get(key),
    keys: () => series.keys(),
    forecastMany: (keys, out) => forecastMany(series, keys, resolved.horizon * LEVELS, out),
    expire: (timeMs) => {
      const old = [...series].filter(([, forecaster]) => forecaster.lastMs < timeMs)
      for (const [key] of old) series.delete(key)
      return old.length
    },
    snapshot: () => encodeAll(series, fingerprint),
    restore: (snapshot) => {
      const restored = decodeAll(snapshot, fingerprint, make)
      series.clear()
      for (const [key, forecaster] of restored) series.set(key, forecaster)
    },
  }
}

function forecastMany(
  series: ReadonlyMap<string, SeriesForecaster>,
  keys: readonly string[],
  width: number,
  out: Float64Array,
): number {
  let known = 0
  keys.forEach((key, i) => {
    const part = out.subarray(i * width, (i + 1) * width)
    const forecaster = series.get(key)
    if (!forecaster) part.fill(NaN)
    else if (forecaster.forecast(part)) known++
  })
  return known
}

function encodeAll(series: ReadonlyMap<string, SeriesForecaster>, fingerprint: number): Uint8Array {
  const writer = new ByteWriter(1024 + series.size * 1024)
  writer.u8(VERSION)
  writer.u32(fingerprint)
  writer.varint(series.size)
  for (const [key, forecaster] of series) {
    writer.text(key)
    forecaster.encode(writer)
  }
  return writer.take()
}

function decodeAll(
  snapshot: Uint8Array,
  fingerprint: number,
  make: (key: string) => SeriesForecaster,
): Map<string, SeriesForecaster> {
  const reader = new ByteReader(snapshot)
  const restored = new Map<string, SeriesForecaster>()
  try {
    const version = reader.u8()
    if (version !== VERSION) throw new RangeError(`version ${version}, expected ${VERSION}`)
    if (reader.u32() !== fingerprint) throw new RangeError('made with other options')
    const size = reader.varint()
    for (let i = 0; i < size; i++) {
      const key = reader.text()
      const forecaster = make(key)
      forecaster.decode(reader)
      restored.set(key, forecaster)
    }
  } catch (cause) {
    throw new ForestallError('STATE_UNREADABLE', `forecasters: ${(cause as Error).message}`, { cause })
  }
  return restored
}
