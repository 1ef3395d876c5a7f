import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type FlowTableOptions, readFlowTable, readTrafficFolder } from '../../../../infra/adapters/index.ts'
import type { Flow } from '../../../../schemas/index.ts'

const abilene = new URL('../../../../../shared/data/a_abilene_tm_week1/', import.meta.url).pathname
const origin = 'replay-1'
let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tabular-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

async function collect(flows: AsyncIterable<Flow>): Promise<Flow[]> {
  const list: Flow[] = []
  for await (const flow of flows) list.push(flow)
  return list
}

async function read(
  name: string,
  text: string | Buffer,
  options: Partial<FlowTableOptions> = {},
): Promise<Flow[]> {
  const path = join(folder, name)
  writeFileSync(path, text)
  return collect(readFlowTable(path, { origin, ...options }))
}

const CSV = 'ts,src,dst,bytes_5min\n2004-03-01T00:00:00Z,A,B,1000\n2004-03-01T00:05:00Z,"A",B,2000\n'

describe('readFlowTable', () => {
  it('makes one flow of interval data per row', async () => {
    const flows = await read('a.csv', CSV)
    expect(flows).toHaveLength(2)
    expect(flows[0]).toEqual({
      event_time_ms: Date.UTC(2004, 2, 1),
      origin,
      stream: 'A>B',
      bytes: 1000,
      packets: 0,
      protocol: 0,
      src_port: 0,
      dst_port: 0,
      flow_hash: 0,
      duration_ms: 300_000,
      src_addr: '',
      dst_addr: '',
      src_region: 'A',
      dst_region: 'B',
      sampling_rate: 1,
    })
  })

  it('reads gzip, CRLF and JSON lines alike', async () => {
    const plain = await read('a.csv', CSV)
    expect(await read('b.csv.gz', gzipSync(CSV.replaceAll('\n', '\r\n')))).toEqual(plain)
    const lines = plain.map((f) =>
      JSON.stringify({ at: f.event_time_ms, src: 'A', dst: 'B', octets: f.bytes }),
    )
    expect(
      await read('c.jsonl', `${lines.join('\n\n')}\n`, { columns: { time: 'at', bytes: 'octets' } }),
    ).toEqual(plain)
  })

  it('keeps commas and quotes inside quotes', async () => {
    const flows = await read('q.csv', 'ts,src,dst,bytes_5min\n2004-03-01T00:00:00Z,"x, ""y""",B,1\n')
    expect(flows[0]?.stream).toBe('x, "y">B')
  })

  it('leaves out what lies outside the span', async () => {
    const at = Date.UTC(2004, 2, 1, 0, 5)
    expect(await read('s.csv', CSV, { fromMs: at })).toMatchObject([{ bytes: 2000 }])
    expect(await read('s.csv', CSV, { toMs: at })).toMatchObject([{ bytes: 1000 }])
  })

  it.each([
    ['not a number', 'x.csv', CSV.replace('2000', 'NaN'), 'line 3: bytes_5min is "NaN", not a size'],
    ['a negative size', 'x.csv', CSV.replace('2000', '-1'), 'line 3: bytes_5min is "-1"'],
    ['an empty size', 'x.csv', CSV.replace('2000', ''), 'line 3: bytes_5min is ""'],
    ['no time', 'x.csv', CSV.replace('2004-03-01T00:05:00Z', 'soon'), 'line 3: ts is "soon", not a time'],
    ['a short row', 'x.csv', CSV.replace(',2000', ''), 'line 3: it has 3 columns, the header 4'],
    ['an empty name', 'x.csv', CSV.replace('"A"', ''), 'line 3: src is "", not a name'],
    ['broken JSON', 'x.jsonl', '{"ts":', 'line 1: it is not JSON'],
    ['another ending', 'x.parquet', '', 'neither .csv nor .jsonl'],
    ['a cut gzip', 'x.csv.gz', gzipSync(CSV.repeat(50)).subarray(0, 60), 'unexpected end of file'],
  ])('refuses %s', async (_what, name, text, message) => {
    await expect(read(name, text)).rejects.toThrow(message)
  })

  it('refuses a missing file', async () => {
    await expect(collect(readTrafficFolder(join(folder, 'none'), { origin }))).rejects.toThrow('ENOENT')
  })
})

describe.skipIf(!existsSync(abilene))('the Abilene week', () => {
  it('gives every row, in bounded memory', async () => {
    let rows = 0
    let bytes = 0
    let largestHeap = 0
    const streams = new Set<string>()
    for await (const flow of readTrafficFolder(abilene, { origin })) {
      rows++
      bytes += flow.bytes
      streams.add(flow.stream)
      if (rows % 20_000 === 0) largestHeap = Math.max(largestHeap, process.memoryUsage().heapUsed)
    }
    expect([rows, streams.size]).toEqual([290_304, 144])
    // The mean of the total load lies within what the README of the data says, 2.3 to 6.9 Gbit/s.
    const meanGbits = (bytes * 8) / (2016 * 300) / 1e9
    expect(meanGbits).toBeGreaterThan(2.3)
    expect(meanGbits).toBeLessThan(6.9)
    // The rows alone would take over 60 MB as objects.
    expect(largestHeap).toBeLessThan(200 * 2 ** 20)
  })

  it('closes the file when the reader stops early', async () => {
    const flows = readTrafficFolder(abilene, { origin })
    const first = await flows.next()
    expect(first.value).toMatchObject({ stream: 'ATLAM5>ATLAM5', bytes: 1_000_000 })
    await flows.return(undefined)
    expect(await flows.next()).toEqual({ value: undefined, done: true })
  })
})
