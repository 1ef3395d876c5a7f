/** `npm run generate`: writes schemas/records.ts and docs/reference/{records,topics,tables}.md from schemas/avro. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { generateRecords } from './generator.ts'

const here = new URL('./', import.meta.url)
const avroDir = new URL('avro/', here)
const docsDir = new URL('../docs/reference/', here)

const texts = readdirSync(avroDir)
  .filter((f) => f.endsWith('.avsc'))
  .map((f) => readFileSync(new URL(f, avroDir), 'utf8'))
writeFileSync(new URL('records.ts', here), generateRecords(texts))

// Imported only now: the reference pages are made from the records just written.
const { referencePages } = await import('./reference.ts')
mkdirSync(docsDir, { recursive: true })
for (const [name, text] of referencePages()) writeFileSync(new URL(name, docsDir), text)
