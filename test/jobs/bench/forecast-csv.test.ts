import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { lastRows, onGrid, readSeriesCsv } from '../../../jobs/bench/forecast-csv.ts'
import { benchCsv, type CsvRequest } from '../../../jobs/bench/forecast-custom.ts'

let folder = ''
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'forecast-csv-'))
})
afterEach(() => {
  rmSync(folder, { recursive: true })
})

function written(lines: readonly string[]): string {
  const file = join(folder, 'series.csv')
  writeFileSync(file, lines.join('\n'))
  return file
}

describe('CSV of series', () => {
  it('reads whole numbers, epochs and ISO times, with or without a header, in any order', () => {
    const [numbers] = readSeriesCsv(written(['series_id,t,y', 'a,2,20', 'a,1,10', 'a,3,30']))
    expect(numbers).toMatchObject({ key: 'a', values: Float64Array.of(10, 20, 30) })
    const [times] = readSeriesCsv(written(['a,2024-01-01 00:00:00,1', 'a,2024-01-01T01:00:00Z,2']))
    expect([...times!.timesMs]).toEqual([Date.UTC(2024, 0, 1), Date.UTC(2024, 0, 1, 1)])
  })

  it('lets the last of two rows with one time stand, and takes an empty or wild y for a gap', () => {
    const [series] = readSeriesCsv(written(['a,1,1', 'a,1,5', 'a,2,', 'a,3,inf', 'a,4,2']))
    expect([...series!.values]).toEqual([5, NaN, NaN, 2])
  })

  it('names the line whose time is none', () => {
    expect(() => readSeriesCsv(written(['s,t,y', 'a,1,1', 'a,soon,2']))).toThrow(/line 3: "soon"/)
  })

  it('reads quoted names with commas and quotes, other separators, and columns by their names', () => {
    const [quoted] = readSeriesCsv(written(['"a, ""b""","2020-01-01",1', '"a, ""b""",2020-01-02,2']))
    expect(quoted).toMatchObject({ key: 'a, "b"', values: Float64Array.of(1, 2) })
    const [named] = readSeriesCsv(written(['ds;y;unique_id', '2020Q1;4;z', '2020Q2;5;z']))
    expect(named).toMatchObject({ key: 'z', values: Float64Array.of(4, 5) })
    expect([...named!.timesMs]).toEqual([Date.UTC(2020, 0), Date.UTC(2020, 3)])
  })

  it('takes months for steps, whatever their length, and a missing one for a gap', () => {
    const months = Array.from({ length: 60 }, (_, m) => m).filter((m) => m !== 50)
    const ends = months.map((m) => `a,${new Date(Date.UTC(2015, m + 1, 0)).toISOString().slice(0, 10)},${m}`)
    const { values } = onGrid(readSeriesCsv(written(ends))[0]!)
    expect([...values]).toEqual(Array.from({ length: 60 }, (_, m) => (m === 50 ? NaN : m)))
  })

  it('takes working days for steps where the season is five of them', () => {
    const days = Array.from({ length: 33 }, (_, d) => d).filter((d) => d % 7 < 5)
    const rows = days.map((d) => `a,${new Date(Date.UTC(2024, 0, 1 + d)).toISOString()},${d}`)
    expect(onGrid(readSeriesCsv(written(rows))[0]!, 5).values).toHaveLength(days.length)
    expect(onGrid(readSeriesCsv(written(rows))[0]!, 7).values).toHaveLength(33)
  })

  it('puts rows on the grid of their usual distance, gaps between them', () => {
    const file = written(['a,0,1', 'a,10,2', 'a,20,3', 'a,40,5', 'a,50,6'])
    expect([...onGrid(readSeriesCsv(file)[0]!).values]).toEqual([1, 2, 3, NaN, 5, 6])
  })

  it('splits off the last rows, also where rows are missing among them', () => {
    const rows = [0, 1, 2, 3, 4, 6, 7].map((t) => `a,${t},${t}`)
    const [split] = lastRows(
      readSeriesCsv(written(rows)).map((one) => onGrid(one)),
      3,
    )
    expect([...split!.train]).toEqual([0, 1, 2, 3])
    expect([...split!.test]).toEqual([4, NaN, 6, 7])
  })
})

describe('bench -- forecast --csv', () => {
  const request: Omit<CsvRequest, 'file'> = {
    horizon: 12,
    seasons: [24],
    peers: [],
    tools: undefined,
    run: { limitS: 1 },
    print: () => {},
    progress: () => {},
  }

  it('forecasts a daily course far better than the day before, and leaves out what never changes', async () => {
    const wave = (t: number) => 100 + 30 * Math.sin((2 * Math.PI * t) / 24) + ((t * 7919) % 13)
    const lines = Array.from({ length: 400 }, (_, t) => [`a,${t},${wave(t)}`, `b,${t},5`]).flat()
    const result = await benchCsv({ ...request, file: written(lines) })
    expect(result).toMatchObject({ series: 1, leftOut: 1, seasons: [24] })
    expect(result.mase).toBeLessThan(0.9)
    expect(result.coverage95).toBeGreaterThan(0.7)
  })

  it('finds the season itself when none is named', async () => {
    const lines = Array.from(
      { length: 400 },
      (_, t) => `a,${t},${Math.sin((2 * Math.PI * t) / 24) + ((t * 7919) % 13) / 40}`,
    )
    const result = await benchCsv({ ...request, seasons: [], file: written(lines) })
    expect(result.seasons).toEqual([24])
  })

  it('forecasts yearly series without a season, and says why a file cannot be scored', async () => {
    const lines = Array.from({ length: 30 }, (_, t) => `a,${t},${100 * 1.05 ** t + ((t * 7919) % 13)}`)
    const result = await benchCsv({ ...request, horizon: 6, seasons: [1], file: written(lines) })
    expect(result.seasons).toEqual([1])
    expect(result.mase).toBeLessThan(2)
    const few = benchCsv({ ...request, seasons: [40], file: written(lines) })
    await expect(few).rejects.toThrow(/no series can be scored/)
  })

  it('refuses a horizon and a season that cannot be', async () => {
    const file = written(['a,1,1'])
    await expect(benchCsv({ ...request, file, horizon: Number.NaN })).rejects.toThrow(/--horizon/)
    await expect(benchCsv({ ...request, file, seasons: [0] })).rejects.toThrow(/--season/)
  })
})
