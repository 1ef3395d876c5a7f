import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { reportError } from './errors-exit.ts'
import { ForestallError } from '#core/ports'

const FOLDER = new URL('./bench/', import.meta.url)

/** Files of the folder that run by themselves; the others are their parts. */
function cases(): string[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.ts'))
    .filter((file) => readFileSync(new URL(file, FOLDER), 'utf8').includes('import.meta.main'))
    .map((file) => file.slice(0, -'.ts'.length))
    .sort()
}

const usage = (): string => `Usage: npm run bench -- <case> [arguments of the case]

Tables for people first; the last line is one JSON object with the figure, its unit and the targets.

Cases:
${cases()
  .map((name) => `  ${name}`)
  .join('\n')}

Examples:
${cases()
  .map((name) => `  $ npm run bench -- ${name}`)
  .join('\n')}
`

/** Runs one case in a process of its own, so that its figures are those of a fresh one; returns its exit status. */
async function runBench([name, ...rest]: readonly string[]): Promise<number> {
  if (name === '--help' || name === '-h') {
    process.stdout.write(usage())
    return 0
  }
  if (name === undefined || !cases().includes(name)) {
    throw new ForestallError('CONFIG_INVALID', name === undefined ? 'no case named' : `no case "${name}"`, {
      cure: `Name one of ${cases().join(', ')}.`,
    })
  }
  const file = fileURLToPath(new URL(`${name}.ts`, FOLDER))
  const child = spawn(process.execPath, [file, ...rest], { stdio: 'inherit' })
  const [code] = (await once(child, 'exit')) as [number | null]
  return code ?? 1
}

try {
  process.exitCode = await runBench(process.argv.slice(2))
} catch (error) {
  process.exitCode = reportError(error)
}
