import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'
import { runCli } from './run-cli.ts'

const dir = mkdtempSync(join(tmpdir(), 'forestall-cli-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const COMMANDS = [
  'up',
  'stream',
  'replay',
  'evaluate',
  'follow',
  'explain',
  'doctor',
  'dlq list',
  'dlq replay',
]

test('help lists every command, the environment and the exit status', async () => {
  const { code, stdout, stderr } = await runCli(['--help'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  for (const command of COMMANDS) expect(stdout).toContain(`\n  ${command.split(' ')[0]}`)
  expect(stdout).toContain('KAFKA_BROKERS')
  expect(stdout).toContain('Exit status: 0 sound, 1 failed, 2 bad arguments')
})

test.each(COMMANDS)('help of %s has examples and the global options', async (command) => {
  const { code, stdout } = await runCli([...command.split(' '), '--help'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/Examples:\n {2}\$ /)
  expect(stdout).toContain('--json')
  expect(stdout).toContain(`forestall ${command.split(' ')[0]}`)
})

test('the version is that of the package', async () => {
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }
  expect(await runCli(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
})

test('the installed command is the same one', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['jobs/forestall.mjs', 'doctor', '--help'])
  expect(stdout).toContain('Usage: forestall doctor')
})

test.each([
  [['nope'], "unknown command 'nope'"],
  [['doctor', '--nope'], "unknown option '--nope'"],
  [['doctor', 'extra'], 'too many arguments'],
  [['explain'], "missing required argument 'decision_id'"],
  [['replay'], "required option '--data <dir>' not specified"],
  [['up', '--for', '60'], 'Write a duration such as 500ms, 60s, 5m, 2h or 1d.'],
  [['up', '--port', '70000'], 'Write a whole number from 0 to 65535.'],
  [['stream', '--topology', 'x'], 'Allowed choices are features, forecasts, decisions, all.'],
  [['follow', '--print', '--table'], 'follow got 2 of --haproxy, --table and --print.'],
  [['doctor', '--config', '/nowhere.json'], '/nowhere.json: is not a JSON file that can be read.'],
])('%j ends with 2, code and cure on standard error', async (args, message) => {
  const { code, stdout, stderr } = await runCli(args)
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
  expect(stderr).toMatch(/^CONFIG_INVALID: /)
  expect(stderr).toContain(message)
  expect(stderr).toMatch(/\ncure: .+\n$/)
})

test('what cannot be done ends with 1; a stack is printed only with --verbose', async () => {
  const args = ['explain', 'x', '--data-dir', dir]
  const plain = await runCli(args)
  expect(plain).toMatchObject({ code: 1, stdout: '' })
  expect(plain.stderr).toMatch(
    /^SERVICE_MISSING: CLICKHOUSE_URL is not set, and no clickhouse .*\ncure: .*npm start.*\n$/,
  )
  const verbose = await runCli([...args, '--verbose'])
  expect(verbose.stderr).toMatch(/^SERVICE_MISSING: .*\ncure: .*\n.*\n {4}at /)
})

test('a variable that cannot be is named, never its value', async () => {
  const { code, stderr } = await runCli(['doctor'], { KAFKA_BROKERS: 'secret host' })
  expect(code).toBe(2)
  expect(stderr).toMatch(/^CONFIG_INVALID: KAFKA_BROKERS must be host:port/)
  expect(stderr).not.toContain('secret')
})

test('defaults from a file: below the command line, checked like it', async () => {
  const file = join(dir, 'forestall.json')
  const write = (config: unknown) => writeFileSync(file, JSON.stringify(config))
  const missing = async (...more: string[]) =>
    (await runCli(['explain', 'x', '--config', file, ...more])).stderr
  write({ explain: { dataDir: join(dir, 'from-file') }, up: { speed: 60 } })
  expect(await missing()).toContain(`runs on ${join(dir, 'from-file')}.`)
  expect(await missing('--data-dir', join(dir, 'given'))).toContain(`runs on ${join(dir, 'given')}.`)
  write({ explain: { replayId: 'a b' } })
  expect(await missing()).toMatch(/^CONFIG_INVALID: .*explain\.replayId = a b\. Write at most 100 letters/)
  write({ explain: { nope: 1 } })
  expect(await missing()).toContain('explain has no option "nope".')
  write({ environment: { CLICKHOUSE_URL: 'ftp://x' } })
  expect(await missing()).toMatch(/^CONFIG_INVALID: CLICKHOUSE_URL must be an http/)
})

test('the doctor finds what the tests themselves need', async () => {
  const dataDir = join(dir, 'not', 'yet')
  const { stdout } = await runCli(['doctor', '--json', '--data-dir', dataDir])
  expect(existsSync(dataDir)).toBe(false)
  const { checks } = JSON.parse(stdout) as {
    checks: { name: string; ok: boolean; required: boolean; detail: string; cure: string }[]
  }
  const node = checks.find((c) => c.name === 'Node.js')
  expect(node).toEqual({
    name: 'Node.js',
    ok: true,
    required: true,
    detail: `${process.version} on ${process.platform}-${process.arch}`,
    cure: '',
  })
  expect(checks.map((c) => c.name)).toEqual(
    expect.arrayContaining(['Java', 'Maven', 'Disk', 'HAProxy', 'Chromium']),
  )
  for (const check of checks.filter((c) => !c.ok)) expect(check.cure).not.toBe('')
})

test('the doctor fails where something required does not answer, and says what to do', async () => {
  const parts = {
    KAFKA_BROKERS: '127.0.0.1:9',
    CLICKHOUSE_URL: 'http://127.0.0.1:9',
    SCHEMA_REGISTRY_URL: 'http://127.0.0.1:9',
  }
  const { code, stdout } = await runCli(['doctor', '--json', '--data-dir', dir], parts)
  expect(code).toBe(1)
  const { checks } = JSON.parse(stdout) as {
    checks: { name: string; ok: boolean; required: boolean; cure: string }[]
  }
  for (const variable of Object.keys(parts)) {
    const check = checks.find((c) => c.name.includes(variable))
    expect(check).toMatchObject({ ok: false, required: true })
    expect(check?.cure).toContain(variable)
  }
  // What they replace is not needed.
  for (const name of ['Java', 'Maven', 'Embedded ClickHouse']) {
    expect(checks.find((c) => c.name === name)?.required).toBe(false)
  }
})
