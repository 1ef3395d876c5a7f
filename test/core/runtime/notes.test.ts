import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { END_OF_INPUT_MS } from '../../../pipelines/core/runtime/index.ts'
import { decodeNote, encodeNote } from '../../../pipelines/core/runtime/notes.ts'

const time = fc.oneof(
  fc.integer({ min: -1_000_000, max: 4_102_444_800_000 }),
  fc.constantFrom(Number.NEGATIVE_INFINITY, END_OF_INPUT_MS),
)

test('a note reads back as it was written', () => {
  fc.assert(
    fc.property(
      time,
      time,
      fc.nat(),
      fc.array(fc.record({ at: time, idle: fc.boolean() }), { maxLength: 40 }),
      fc.option(time),
      (closedThroughMs, eventTimeMs, replayFrom, origins, replayMs) => {
        const note = {
          closedThroughMs,
          eventTimeMs,
          replayFrom,
          origins: origins.map((o) => o.at),
          idle: origins.map((o) => o.idle),
          ...(replayMs === null ? {} : { replayMs }),
        }
        expect(decodeNote(encodeNote(note))).toEqual(note)
      },
    ),
  )
})

test('500 origins fit into the metadata of a commit, and more than fit are refused by name', () => {
  const noteOf = (count: number) => ({
    closedThroughMs: 1_784_000_000_000,
    eventTimeMs: Number.NEGATIVE_INFINITY,
    replayFrom: 2 ** 40,
    origins: Array.from({ length: count }, (_, i) => 1_784_000_000_000 + ((i * 7919) % 1_500_000)),
    idle: Array.from({ length: count }, (_, i) => i % 2 === 0),
  })
  const text = encodeNote(noteOf(500))
  expect(text.length).toBeLessThanOrEqual(4096)
  expect(decodeNote(text)).toEqual(noteOf(500))
  expect(() => encodeNote(noteOf(2000))).toThrow(/2000 origins takes \d+ of 4096 characters/)
})

test('what another program has committed is no note', () => {
  expect(decodeNote('')).toBeUndefined()
  expect(decodeNote('{"offset":1}')).toBeUndefined()
})
