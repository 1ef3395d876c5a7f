import { exec } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { runCli } from './jobs/run-cli.ts'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
const README = readFileSync(join(ROOT, 'README.md'), 'utf8')
const PACKAGE = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>
}
const run = promisify(exec)

/** Lines of the blocks fenced as `sh`: each is a command that ends by itself within seconds. */
const commands = [...README.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].flatMap(([, block = '']) =>
  block.trim().split('\n'),
)

const pages = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
]
const textOf = (page: string): string => readFileSync(join(ROOT, page), 'utf8')

test('the README has commands to run', () => {
  expect(commands.length).toBeGreaterThan(10)
  expect(commands.filter((command) => !/(--help|doctor|doctor --json)$/.test(command))).toEqual([])
})

/** What a reader gets; npm is asked by its own name, without the variables of an npm that runs this test. */
async function outputOf(command: string): Promise<string> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_')))
  return (await run(command, { cwd: ROOT, env })).stdout
}

test.each(commands.filter((command) => command.endsWith('--help')))('%s', async (command) => {
  expect(await outputOf(command)).toMatch(/Usage: .*\n[\s\S]*Examples:/)
})

test.each(commands.filter((command) => command.endsWith('doctor')))('%s', async (command) => {
  expect(await outputOf(command)).toMatch(/^ok {8}Node\.js/m)
})

test.each(commands.filter((command) => command.endsWith('doctor --json')))('%s', async (command) => {
  const last = (await outputOf(command)).trim().split('\n').at(-1) ?? ''
  expect((JSON.parse(last) as { checks: unknown[] }).checks.length).toBeGreaterThan(5)
})

test('every npm script that a page names exists', () => {
  const missing = pages.flatMap((page) =>
    [...textOf(page).matchAll(/npm run (\w+)|npm (start|test)\b/g)]
      .map(([, script, short = '']) => script ?? short)
      .filter((script) => PACKAGE.scripts[script] === undefined)
      .map((script) => `${page}: npm run ${script}`),
  )
  expect(missing).toEqual([])
})

test('every link inside the documentation leads somewhere', () => {
  const broken = pages.flatMap((page) =>
    [...textOf(page).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^https?:/.test(target) && !existsSync(join(ROOT, dirname(page), target)))
      .map((target) => `${page}: ${target}`),
  )
  expect(broken).toEqual([])
})

/** Commands whose first word only leads to others, each with options of its own. */
const NESTED = new Set(['dlq', 'evaluate'])

/** Options of the commands that pages show, by command, against what the command itself says. */
const shown = new Map<string, Set<string>>()
for (const page of pages) {
  for (const [, line = ''] of textOf(page).matchAll(/npm run forestall -- ([^\n`]+)/g)) {
    const words = line.split(/\s+/)
    const command = NESTED.has(words[0] ?? '') ? words.slice(0, 2).join(' ') : (words[0] ?? '')
    const options = words.filter((word) => /^--(?!help)/.test(word)).map((word) => word.replace(/=.*/, ''))
    shown.set(command, new Set([...(shown.get(command) ?? []), ...options]))
  }
}

test.each([...shown].filter(([command]) => !command.startsWith('-')))(
  'pages show only options that %s has',
  async (command, options) => {
    const { stdout } = await runCli([...command.split(' '), '--help'])
    expect([...options].filter((option) => !stdout.includes(option))).toEqual([])
  },
)
