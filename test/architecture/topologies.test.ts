import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import { readSources } from './sources.ts'

const CALL = /\bdefineTopology\(\{\s*name: (?:'([^']+)'|([A-Z_]+))/g

/** The names of all topologies, with the file that defines each. */
function topologies(): { path: string; name: string | undefined }[] {
  const sources = readSources(['pipelines']).filter((s) => !s.path.startsWith('pipelines/core/'))
  return sources.flatMap(({ path, unit, code }) =>
    [...code.matchAll(CALL)].map(([, literal, constant]) => {
      // The constant is defined in some file of the same subsystem.
      const value = new RegExp(String.raw`\bconst ${constant} = '([^']+)'`)
      const files = sources.filter((s) => s.unit === unit)
      return {
        path,
        name: literal ?? files.map((s) => value.exec(s.code)?.[1]).find((text) => text !== undefined),
      }
    }),
  )
}

/** However they are written: one that the pattern above misses would escape. */
const calls = (): number =>
  readSources(['pipelines'])
    .filter((s) => !s.path.startsWith('pipelines/core/'))
    .reduce((sum, { code }) => sum + [...code.matchAll(/\bdefineTopology\(/g)].length, 0)

test('every topology has a golden file of what it says of itself, so that an accidental change is a visible diff', () => {
  const found = topologies()
  expect(found.length).toBeGreaterThanOrEqual(3)
  expect(found.length).toBe(calls())
  const without = found.filter(
    ({ name }) => !existsSync(new URL(`../golden/topologies/${name}.txt`, import.meta.url)),
  )
  expect(without).toEqual([])
})
