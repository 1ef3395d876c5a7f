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

  it('puts rows on the grid of their usual distance, gaps between them', () => {
    const file = written(['a,0,1', 'a,10,2', 'a,20,3', 'a,40,5', 'a,50,6'])
    expect([...onGrid(readSeriesCsv(file)[0]!).values]).toEqual([1, 2, 3, NaN, 5, 6])
  })

  it('splits off the last rows, also where rows are missing among them', () => {
    const rows = [0, 1, 2, 3, 4, 6, 7].map((t) => `a,${t},${t}`)
    const [split] = lastRows(readSeriesCsv(written(rows)).map(onGrid), 3)
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

  it('refuses a horizon and a season that cannot be', async () => {
    const file = written(['a,1,1'])
    await expect(benchCsv({ ...request, file, horizon: Number.NaN })).rejects.toThrow(/--horizon/)
    await expect(benchCsv({ ...request, file, seasons: [1] })).rejects.toThrow(/--season/)
  })
})
