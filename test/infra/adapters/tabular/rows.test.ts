import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readRows } from '../../../../infra/adapters/tabular/rows.ts'

let folder = ''
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'rows-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

async function rowsOf(name: string, content?: string | Uint8Array) {
  const path = join(folder, name)
  if (content !== undefined) writeFileSync(path, content)
  const rows = []
  for await (const { row } of readRows(path)) rows.push(row)
  return rows
}

test.each([
  ['a.csv', 'time,key\n1,"a, ""b"""\n'],
  ['bom.csv', '\uFEFFtime,key\n1,"a, ""b"""\n'],
  ['crlf.csv', 'time,key\r\n\r\n1,"a, ""b"""\r\n'],
  ['packed.csv.gz', gzipSync('time,key\n1,"a, ""b"""\n')],
  ['a.jsonl', '{"time":"1","key":"a, \\"b\\""}\n'],
  ['bom.ndjson', '\uFEFF{"time":"1","key":"a, \\"b\\""}'],
])('%s', async (name, content) => {
  expect(await rowsOf(name, content)).toEqual([{ time: '1', key: 'a, "b"' }])
})

test.each([
  ['nosuch.csv', undefined, 'CONFIG_INVALID', 'cannot be read'],
  ['not.csv.gz', 'no gzip', 'CONFIG_INVALID', 'cannot be read'],
  ['cut.jsonl.gz', gzipSync('{"a":1}\n').subarray(0, 20), 'CONFIG_INVALID', 'cannot be read'],
  ['a.txt', 'x', 'CONFIG_INVALID', 'neither .csv nor .jsonl'],
  ['long.csv', 'a\n1,2\n', 'RECORD_INVALID', 'line 2: it has 2 columns'],
  ['broken.jsonl', '{"a":1}\n{\n', 'RECORD_INVALID', 'line 2: it is not JSON'],
])('%s is refused with its name', async (name, content, code, message) => {
  await expect(rowsOf(name, content)).rejects.toMatchObject({
    code,
    message: expect.stringMatching(new RegExp(`${name}.*${message}`)),
  })
})
