import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const PAGE = readFileSync(`${ROOT}docs/recovery.md`, 'utf8')
const TESTS = readdirSync(`${ROOT}test`, { recursive: true, encoding: 'utf8' }).map((name) => `test/${name}`)

/** Cells `Asserted by` of the numbered invariants. */
const cells = [...PAGE.matchAll(/^\| (\d+) \| .* \| (.*) \|$/gm)].map(([, number = '', cell = '']) => ({
  number: Number(number),
  cell,
}))

test('the invariants of recovery are numbered from 1, without a gap', () => {
  expect(cells.length).toBeGreaterThan(10)
  expect(cells.map((c) => c.number)).toEqual(cells.map((_, i) => i + 1))
})

/** Where a name has an ellipsis, anything may stand. */
const piecesOf = (name: string): string[] => name.split('…').flatMap((piece) => piece.trim() || [])

/** Test files and names of a cell that do not exist; a name belongs to the file before it. */
function missing(cell: string): string[] {
  let file = ''
  return [...cell.matchAll(/`([^`]+\.test\.ts)`|\*([^*]+)\*/g)].flatMap(([, path, name]) => {
    if (name !== undefined) return piecesOf(name).filter((piece) => !file.includes(piece))
    const found = TESTS.filter((test) => test.endsWith(`/${path?.replace(/^test\//, '')}`))
    file = found.length === 1 ? readFileSync(`${ROOT}${found[0]}`, 'utf8') : ''
    return file === '' ? [path ?? ''] : []
  })
}

test.each(cells)('invariant $number is asserted by tests that exist under the names given', ({ cell }) => {
  expect(cell).toMatch(/\.test\.ts`/)
  expect(missing(cell)).toEqual([])
})
