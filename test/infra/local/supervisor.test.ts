import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { identityOf, isRunning, openSupervisor, waitUntilGone } from '#infra/local'
import type { PartDeath, RunningPart } from '#infra/local'
import { isError } from '#core/ports'

let dataDir: string
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'forestall-'))
})
afterEach(() => rmSync(dataDir, { recursive: true, force: true }))

/** A child that runs until it is killed. */
function startSleeper(): RunningPart & { pid: number; exited: Promise<string> } {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)'], { stdio: 'ignore' })
  const exited = new Promise<string>((resolve) =>
    child.once('exit', (_, signal) => resolve(`signal ${signal}`)),
  )
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal)
    await exited
  }
  return {
    pid: child.pid ?? -1,
    exited,
    logFile: 'x.log',
    stop: () => end('SIGTERM'),
    kill9: () => end('SIGKILL'),
  }
}

/** An in-process part that notes what happens to it. */
function noted(name: string, log: string[]): () => Promise<RunningPart> {
  return async () => {
    log.push(`start ${name}`)
    return {
      stop: async () => void log.push(`stop ${name}`),
      kill9: async () => void log.push(`kill9 ${name}`),
    }
  }
}

test('a second instance on the same folder is refused in one sentence, and may start once the first has stopped', async () => {
  const first = await openSupervisor({ dataDir })
  const refusal = await openSupervisor({ dataDir }).catch((error: unknown) => error)
  expect(isError(refusal, 'ALREADY_RUNNING')).toBe(true)
  expect((refusal as Error).message).toBe(
    `Another instance (process ${process.pid}) already uses the data folder ${dataDir}.`,
  )
  await first.stop()
  await (await openSupervisor({ dataDir })).stop()
})

/** A process that tries to open the folder, says what came of it, and ends when its input ends. */
async function startRival(): Promise<{ outcome: string; end(): void }> {
  const module = new URL('../../../infra/local/supervisor.ts', import.meta.url).href
  const script = `
    const { openSupervisor } = await import(${JSON.stringify(module)})
    const outcome = await openSupervisor({ dataDir: process.argv[1] }).then(() => 'won', (error) => error.code)
    console.log(outcome)
    process.stdin.resume()`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, dataDir], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const outcome = await new Promise<string>((resolve) =>
    child.stdout.once('data', (it) => resolve(String(it).trim())),
  )
  return { outcome, end: () => child.stdin.end() }
}

test('of several processes that start at once on a folder with a stale lock exactly one wins', async () => {
  writeFileSync(join(dataDir, 'lock.json'), JSON.stringify({ pid: process.pid, startedAt: 'another boot:1' }))
  const rivals = await Promise.all([startRival(), startRival(), startRival(), startRival()])
  for (const rival of rivals) rival.end()
  expect(rivals.map(({ outcome }) => outcome).sort()).toEqual([
    'ALREADY_RUNNING',
    'ALREADY_RUNNING',
    'ALREADY_RUNNING',
    'won',
  ])
})

test('parts stop in the reverse order of their first starts, once, and start again after a stop', async () => {
  const log: string[] = []
  const supervisor = await openSupervisor({ dataDir })
  const a = supervisor.part('a', noted('a', log))
  const b = supervisor.part('b', noted('b', log))
  const never = supervisor.part('never', noted('never', log))
  await b.start()
  await a.start()
  await Promise.all([a.start(), a.start()])
  await b.kill9()
  await b.start()
  await never.stop()
  await Promise.all([supervisor.stop(), supervisor.stop()])
  expect(log).toEqual(['start b', 'start a', 'kill9 b', 'start b', 'stop a', 'stop b'])
  await expect(a.start()).rejects.toThrow('while the stack stops')
})

test('a part that dies by itself is reported with its log; one that is killed on purpose is not', async () => {
  const deaths: PartDeath[] = []
  let onDeath = (): void => {}
  const death = new Promise<void>((resolve) => {
    onDeath = resolve
  })
  const supervisor = await openSupervisor({
    dataDir,
    onPartDied: (it) => {
      deaths.push(it)
      onDeath()
    },
  })
  const part = supervisor.part('sleeper', async ({ onSpawn }) => {
    const sleeper = startSleeper()
    onSpawn(sleeper.pid)
    return sleeper
  })
  await part.start()
  await part.kill9()
  expect(part.running).toBeUndefined()
  const { pid } = await part.start()
  process.kill(pid, 'SIGKILL')
  await death
  expect(deaths).toEqual([{ part: 'sleeper', how: 'signal SIGKILL', logFile: 'x.log' }])
  expect(part.running).toBeUndefined()
  await supervisor.stop()
})

test('what a crashed instance left running is killed; a pid that another process has by now is left alone', async () => {
  const orphan = startSleeper()
  const stranger = startSleeper()
  const orphanIdentity = identityOf(orphan.pid)
  const strangerIdentity = identityOf(stranger.pid)
  if (!orphanIdentity || !strangerIdentity) throw new Error('the children do not run')
  const crashed = await openSupervisor({ dataDir })
  await crashed.stop()
  writeFileSync(join(dataDir, 'run', 'kafka.json'), JSON.stringify(orphanIdentity))
  writeFileSync(
    join(dataDir, 'run', 'clickhouse.json'),
    JSON.stringify({ ...strangerIdentity, startedAt: 'another boot:1' }),
  )
  writeFileSync(join(dataDir, 'run', 'garbled.json'), '{"pid":')
  const next = await openSupervisor({ dataDir })
  expect(next.orphansKilled).toEqual(['kafka'])
  expect(await waitUntilGone(orphanIdentity, 0)).toBe(true)
  expect(isRunning(strangerIdentity)).toBe(true)
  await next.stop()
  await stranger.kill9()
})

test('a stop during a start ends the start', async () => {
  const supervisor = await openSupervisor({ dataDir })
  const part = supervisor.part(
    'slow',
    ({ signal }) =>
      new Promise<RunningPart>((_, reject) => {
        signal.addEventListener('abort', () => reject(new Error('given up')))
      }),
  )
  const start = part.start().catch((error: Error) => error.message)
  await supervisor.stop()
  expect(await start).toBe('given up')
})
