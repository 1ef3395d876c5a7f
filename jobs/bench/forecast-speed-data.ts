import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { mulberry32 } from '#core/ports'
import type { Series } from './forecast-data.ts'

const HOUR = 3_600_000
const DAY = 24
const WEEK = 168

/** A made-up hourly load of a key: day, week, slow level, autoregressive noise; the same key gives the same series. */
export function hourlySeries(key: number, points: number): Float64Array {
  const random = mulberry32(key + 1)
  const phase = random.uniform() * DAY
  const depth = 0.2 + 0.5 * random.uniform()
  const weekend = 0.4 + 0.6 * random.uniform()
  const persistence = 0.5 + 0.45 * random.uniform()
  const size = 100 * 10 ** (3 * random.uniform())
  let level = 0
  let noise = 0
  return Float64Array.from({ length: points }, (_, t) => {
    level += 0.01 * (random.uniform() - 0.5)
    noise = persistence * noise + 0.2 * (random.uniform() - 0.5)
    const day = depth * Math.sin((2 * Math.PI * (t - phase)) / DAY)
    const rest = t % WEEK >= 5 * DAY ? Math.log(weekend) : 0
    return size * Math.exp(day + rest + level + noise)
  })
}

/** Departures per hour by airport, airline and destination (the `most` busiest keys) over `points` hours from 1 March 2013. */
export function flightSeries(dataDir: string, most: number, points: number): Series[] {
  const path = join(dataDir, 'e_flights_keyed_stream', 'departures.csv.gz')
  const firstMs = Date.UTC(2013, 2, 1)
  const byKey = new Map<string, Float64Array>()
  for (const line of gunzipSync(readFileSync(path)).toString('utf8').split('\n').slice(1)) {
    const [time = '', origin = '', destination = '', carrier = ''] = line.split(',')
    const hour = Math.floor((Date.parse(`${time}Z`) - firstMs) / HOUR)
    if (!(hour >= 0 && hour < points)) continue
    for (const key of [`from-${origin}`, `by-${carrier}`, `to-${destination}`]) {
      const counts = byKey.get(key) ?? new Float64Array(points)
      byKey.set(key, counts)
      counts[hour] = (counts[hour] as number) + 1
    }
  }
  const busiest = [...byKey].sort((a, b) => total(b[1]) - total(a[1])).slice(0, most)
  const timesMs = Float64Array.from({ length: points }, (_, t) => firstMs + (t + 1) * HOUR)
  return busiest.map(([key, values]) => ({ key, timesMs, values }))
}

const total = (values: Float64Array): number => values.reduce((a, b) => a + b, 0)
