import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { identityOf, isRunning, startStack, waitUntilGone } from '#infra/local'
import type { PartDeath, ProcessIdentity, StackProgress } from '#infra/local'
import { createRegistryClient } from '#infra/registry'
import { readRecords, writeRecord } from '../support/kafka-records.ts'
import { failOnLeaks } from '../support/leaks.ts'
import type { ParentReport } from '../support/stack.parent.ts'
import { until } from '../support/until.ts'

failOnLeaks()

const partsDir = resolve('.forestall/parts')
const PARENT = fileURLToPath(new URL('../support/stack.parent.ts', import.meta.url))
let dataDir: string
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'forestall-stack-'))
})
const parents: { kill(signal: NodeJS.Signals): boolean; exited: Promise<unknown> }[] = []
afterEach(async () => {
  for (const parent of parents.splice(0)) {
    parent.kill('SIGTERM')
    await parent.exited
  }
  rmSync(dataDir, { recursive: true, force: true })
})

/** A real process that owns a stack. */
async function startParent() {
  const child = spawn(process.execPath, [PARENT, dataDir, partsDir], { stdio: ['ignore', 'pipe', 'ignore'] })
  const exited = new Promise<number | null>((resolve_) => child.once('exit', resolve_))
  const kill = (signal: NodeJS.Signals): boolean => child.kill(signal)
  parents.push({ kill, exited })
  const line = await new Promise<string>((resolve_) =>
    child.stdout.once('data', (it) => resolve_(String(it))),
  )
  const report = JSON.parse(line) as ParentReport
  return { report, exited, kill }
}

function childrenOf({ pids }: ParentReport): ProcessIdentity[] {
  const identities = [pids?.kafka, pids?.clickhouse].map((pid) => (pid ? identityOf(pid) : undefined))
  return identities.filter((it) => it !== undefined)
}

async function query(url: string, sql: string): Promise<string> {
  const response = await fetch(url, { method: 'POST', body: sql })
  const text = await response.text()
  if (!response.ok) throw new Error(text)
  return text.trim()
}

test('starts on an empty folder, carries data, and a part that was killed comes back with its address and data', async () => {
  const events: StackProgress[] = []
  const deaths: PartDeath[] = []
  const stack = await startStack({
    dataDir,
    partsDir,
    onProgress: (event) => events.push(event),
    onPartDied: (death) => deaths.push(death),
  })
  const { kafkaBrokers, clickhouseUrl, registryUrl } = stack
  await writeRecord(kafkaBrokers, 'first', 'before')
  await query(clickhouseUrl, 'CREATE TABLE t (n UInt32) ENGINE = MergeTree ORDER BY n')
  await query(clickhouseUrl, 'INSERT INTO t VALUES (7)')
  expect(await createRegistryClient({ url: registryUrl }).register('s', '"long"')).toBe(1)

  await Promise.all([stack.parts.kafka?.kill9(), stack.parts.clickhouse?.kill9()])
  await Promise.all([stack.parts.kafka?.start(), stack.parts.clickhouse?.start()])
  await writeRecord(kafkaBrokers, 'first', 'after')
  expect(await readRecords(kafkaBrokers, 'first')).toEqual(['before', 'after'])
  expect(await query(clickhouseUrl, 'SELECT n FROM t')).toBe('7')
  const client = createRegistryClient({ url: registryUrl })
  expect([await client.register('s', '"long"'), await client.register('t', '"string"')]).toEqual([1, 2])
  expect(deaths).toEqual([])

  await stack.stop()
  const states = (part: string) => events.filter((event) => event.part === part).map((event) => event.state)
  expect(states('registry')).toEqual(['starting', 'ready', 'stopping', 'stopped'])
  expect(states('kafka').slice(-2)).toEqual(['stopping', 'stopped'])
  const order = events.filter((event) => event.state === 'stopped').map((event) => event.part)
  expect(order[0]).toBe('registry')
})

test('a part that dies by itself is reported with its log, and the rest still stops cleanly', async () => {
  const deaths: PartDeath[] = []
  const stack = await startStack({ dataDir, partsDir, onPartDied: (death) => deaths.push(death) })
  for (const part of [stack.parts.kafka, stack.parts.clickhouse])
    process.kill(part?.running?.pid ?? 0, 'SIGKILL')
  await until(() => deaths.length === 2, { what: 'both deaths' })
  expect(deaths.map((it) => `${it.part}: ${it.how}`).sort()).toEqual([
    'clickhouse: signal SIGKILL',
    'kafka: signal SIGKILL',
  ])
  for (const { logFile } of deaths) expect(existsSync(logFile ?? '')).toBe(true)
  await stack.stop()
})

test('a second instance on the same folder is refused, and the first goes on', async () => {
  const first = await startParent()
  const second = await startParent()
  expect(second.report.error?.code).toBe('ALREADY_RUNNING')
  expect(second.report.error?.message).toContain('already uses the data folder')
  expect(await second.exited).toBe(0)
  await writeRecord(first.report.kafkaBrokers ?? [], 'first', 'x')
  first.kill('SIGTERM')
  expect(await first.exited).toBe(0)
})

test('after kill -9 of its parent the stack starts again: no orphan is left, nothing acknowledged is lost', async () => {
  const crashed = await startParent()
  const { kafkaBrokers = [], registryUrl = '' } = crashed.report
  await writeRecord(kafkaBrokers, 'first', 'x')
  const id = await createRegistryClient({ url: registryUrl }).register('s', '"long"')
  const orphans = childrenOf(crashed.report)
  // Frozen, they cannot see that their parent dies: what is left is what the next start must find.
  for (const { pid } of orphans) process.kill(pid, 'SIGSTOP')
  crashed.kill('SIGKILL')
  await crashed.exited
  expect(orphans.map(isRunning)).toEqual([true, true])

  const next = await startParent()
  expect(next.report.error).toBeUndefined()
  expect(next.report.orphansKilled?.toSorted()).toEqual(['clickhouse', 'kafka'])
  expect(orphans.map(isRunning)).toEqual([false, false])
  expect(next.report.kafkaBrokers).toEqual(kafkaBrokers)
  expect(await readRecords(kafkaBrokers, 'first')).toEqual(['x'])
  expect(await createRegistryClient({ url: registryUrl }).register('s', '"long"')).toBe(id)
  next.kill('SIGTERM')
  expect(await next.exited).toBe(0)
})

test.runIf(process.platform === 'linux')(
  'on Linux the parts end by themselves when their parent is killed',
  async () => {
    const parent = await startParent()
    const children = childrenOf(parent.report)
    expect(children).toHaveLength(2)
    parent.kill('SIGKILL')
    await parent.exited
    for (const child of children) expect(await waitUntilGone(child, 30_000)).toBe(true)
  },
)

test.each(['SIGTERM', 'SIGINT'] as const)('%s stops everything cleanly', async (signal) => {
  const parent = await startParent()
  const children = childrenOf(parent.report)
  expect(children).toHaveLength(2)
  parent.kill(signal)
  expect(await parent.exited).toBe(0)
  expect(children.map(isRunning)).toEqual([false, false])
  expect(existsSync(join(dataDir, 'lock.json'))).toBe(false)
  expect(existsSync(join(dataDir, 'run', 'kafka.json'))).toBe(false)
  expect(readFileSync(join(dataDir, 'logs', 'kafka.log'), 'utf8')).not.toContain('ERROR')
})
