import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { isError } from '#core/ports'
import { createBlockCutter, partitionOfSegment } from '../../../pipelines/data-sharding/log/index.ts'
import { loggedToken, rowsOf } from '../../../pipelines/data-sharding/log/blocks.ts'
import { segmentOf } from '../../../pipelines/data-sharding/placement/hash.ts'
import { blocksOf, LAYOUT, pairs } from './log-bench.ts'

const HEAD = {
  id: 'i',
  target: { database: 'db', table: 't', columns: ['k'] },
  repeatToken: '',
  issuedAtMs: 1,
}
const rows = fc.array(fc.tuple(fc.string({ maxLength: 5, unit: 'binary' }), fc.string({ maxLength: 9 })), {
  maxLength: 60,
})
// A row of the bench ends at its line break, so neither key nor value may have one.
const plain = rows.map((list) =>
  list.map(([k, v]) => [k.replaceAll('\n', ''), v.replaceAll('\n', '')] as const),
)

test('however the bytes arrive, every row lies once, in the segment of its key, in order', () => {
  fc.assert(
    fc.property(
      plain,
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 20, max: 200 }),
      (list, step, max) => {
        const cutter = createBlockCutter(LAYOUT, HEAD, max)
        const bytes = pairs(list)
        const blocks = []
        for (let at = 0; at < bytes.length; at += step)
          blocks.push(...cutter.push(bytes.subarray(at, at + step)))
        blocks.push(...cutter.end())
        expect(cutter.rows).toBe(list.length)
        const found = new Map<number, string[]>()
        for (const { partition, block } of blocks) {
          expect(block.sections.reduce((sum, s) => sum + s.bytes, 0)).toBe(block.data.length)
          for (const { segment } of block.sections) {
            expect(partitionOfSegment(segment, LAYOUT.partitions)).toBe(partition)
            const text = Buffer.from(rowsOf(block, (s) => s === segment) ?? []).toString()
            found.set(segment, [...(found.get(segment) ?? []), ...text.split('\n').slice(0, -1)])
          }
        }
        const wanted = Map.groupBy(list, ([key]) => segmentOf(key, LAYOUT.segments))
        for (const [segment, members] of wanted) {
          expect(found.get(segment)).toEqual(members.map(([k, v]) => Buffer.from(`${k}=${v}`).toString()))
        }
        expect(found.size).toBe(wanted.size)
      },
    ),
  )
})

test('blocks of a repeated insert have the same ids', () => {
  const list = Array.from({ length: 50 }, (_, i) => [`k${i}`, 'v'] as const)
  const ids = () =>
    blocksOf('repeat:db.t:x', list, { repeatToken: 'x', maxBytes: 60 }).map((b) => b.block.block_id)
  expect(ids()).toEqual(ids())
  expect(new Set(ids()).size).toBe(ids().length)
})

test('a row that no block can hold, and an end within a row, are refused', () => {
  const large = createBlockCutter(LAYOUT, HEAD)
  const head = Buffer.from([1, 65, 0x80, 0x80, 0x80, 1]) // a row of 2 MiB
  expect(() => {
    for (let i = 0; i < 40; i++) large.push(i === 0 ? head : Buffer.alloc(65_536))
  }).toThrow(expect.objectContaining({ code: 'RECORD_TOO_LARGE' }))
  const cut = createBlockCutter(LAYOUT, HEAD)
  cut.push(pairs([['a', 'b']]).subarray(0, 3))
  let thrown: unknown
  try {
    cut.end()
  } catch (error) {
    thrown = error
  }
  expect(isError(thrown, 'RECORD_UNDECODABLE')).toBe(true)
})

test('tokens of any length make short names, the same for the same token', () => {
  expect(loggedToken('abc/1')).toBe('abc/1')
  const long = 'x'.repeat(1_000_000)
  expect(loggedToken(long).length).toBeLessThan(100)
  expect(loggedToken(long)).toBe(loggedToken(long))
  expect(loggedToken(long)).not.toBe(loggedToken(`${long}y`))
})
