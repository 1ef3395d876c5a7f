import { describe, expect, it } from 'vitest'
import { mulberry32 } from '../../../pipelines/core/ports/index.ts'
import { calendarSeasons, findSeasons } from '../../../pipelines/core/forecasting/index.ts'

const HOURS = 24 * 7 * 6

function hourly(day: number, week: number, noise: number, seed = 1): Float64Array {
  const random = mulberry32(seed)
  return Float64Array.from({ length: HOURS }, (_, t) => {
    const weekend = t % 168 >= 120 ? -week : week / 3
    return 10 + t / 500 + day * Math.sin((2 * Math.PI * t) / 24) + weekend + noise * (random.uniform() - 0.5)
  })
}

describe('seasons found from the data', () => {
  it('a day, a day in a week, or nothing', () => {
    expect(findSeasons([hourly(1, 0, 1)])).toEqual([24])
    expect(findSeasons([hourly(1, 1, 1)])).toEqual([24, 168])
    expect(findSeasons([hourly(0, 0, 1)])).toEqual([])
  })

  it('what most of a set agree on, over gaps, and nothing of what is too short', () => {
    const gappy = hourly(1, 1, 1, 2).map((value, t) => (t % 11 < 3 ? NaN : value))
    expect(findSeasons([gappy, hourly(1, 1, 2, 3), hourly(0, 0, 1, 4)])).toEqual([24, 168])
    expect(findSeasons([hourly(1, 1, 1).slice(0, 60)])).toEqual([])
    expect(findSeasons([])).toEqual([])
  })

  it('a day, a week and a month in steps', () => {
    expect(calendarSeasons(3_600_000)).toEqual([24, 168, 720])
    expect(calendarSeasons(86_400_000)).toEqual([7, 30])
  })
})
