import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { generateRecords } from '../../schemas/generator.ts'
import { referencePages } from '../../schemas/reference.ts'

const root = new URL('../../', import.meta.url)
const read = (path: string): string => readFileSync(new URL(path, root), 'utf8')
const schemaTexts = (): string[] =>
  readdirSync(new URL('schemas/avro/', root))
    .filter((f) => f.endsWith('.avsc'))
    .map((f) => read(`schemas/avro/${f}`))

describe('generated files', () => {
  it('has record types that equal what the .avsc files give', () => {
    expect(read('schemas/records.ts')).toBe(generateRecords(schemaTexts()))
  })

  it.each([...referencePages()])('has an up-to-date docs/reference/%s', (name, text) => {
    expect(read(`docs/reference/${name}`)).toBe(text)
  })

  it('refuses two definitions of one name', () => {
    const record = (name: string, symbol: string) =>
      JSON.stringify({
        type: 'record',
        name,
        fields: [{ name: 'state', type: { type: 'enum', name: 'State', symbols: [symbol] } }],
      })
    expect(() => generateRecords([record('A', 'on'), record('B', 'off')])).toThrow(
      'Two schemas define State differently.',
    )
  })
})
