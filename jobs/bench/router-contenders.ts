import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { RouterProcessSettings, RouterProcessUsage } from './router-process.ts'

/** A proxy under test, in a process of its own. */
export interface Contender {
  readonly name: string
  readonly url: string
  /** CPU time since its start, ms, and memory now. */
  usage(): Promise<RouterProcessUsage>
  stop(): Promise<void>
}

const PROCESS = fileURLToPath(new URL('./router-process.ts', import.meta.url))

/** Our router with one of the pickers. */
export async function startRouter(name: string, settings: RouterProcessSettings): Promise<Contender> {
  const child = spawn(process.execPath, [PROCESS, JSON.stringify(settings)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const [{ url }] = (await once(child, 'message')) as [{ url: string }]
  return {
    name,
    url,
    async usage() {
      const answer = once(child, 'message')
      child.send('usage')
      return ((await answer) as [RouterProcessUsage])[0]
    },
    stop: () => end(child),
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  await exited
}

const MODULE = 'github.com/contentsquare/chproxy'
const VERSION = 'v1.30.0'

/** The binary of chproxy, built once into `.forestall/chproxy`; or why there is none. */
export async function findChproxy(): Promise<{ path: string } | { missing: string }> {
  const given = process.env['CHPROXY']
  if (given !== undefined)
    return existsSync(given) ? { path: given } : { missing: `CHPROXY: ${given} does not exist` }
  const folder = resolve('.forestall', 'chproxy')
  const path = join(folder, `chproxy-${VERSION}`)
  if (existsSync(path)) return { path }
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'go.mod'), `module bench\n\ngo 1.24\n\nrequire ${MODULE} ${VERSION}\n`)
  try {
    await promisify(execFile)('go', ['build', '-mod=mod', '-o', path, MODULE], {
      cwd: folder,
      env: { ...process.env, PATH: `${process.env['PATH'] ?? ''}${delimiter}/usr/local/go/bin` },
      timeout: 600_000,
    })
    return { path }
  } catch (error) {
    return {
      missing: `${MODULE} ${VERSION} could not be built with Go: ${(error as Error).message.split('\n')[0]}`,
    }
  }
}

/** chproxy on one core, before the same instances as replicas of each other. */
export async function startChproxy(path: string, urls: readonly string[], port: number): Promise<Contender> {
  const folder = mkdtempSync(join(tmpdir(), 'chproxy-'))
  const nodes = urls.map((url) => new URL(url).host)
  writeFileSync(
    join(folder, 'config.yml'),
    `server:
  http:
    listen_addr: "127.0.0.1:${port}"
    allowed_networks: ["127.0.0.0/8"]
users:
  - name: "default"
    to_cluster: "instances"
    to_user: "default"
clusters:
  - name: "instances"
    nodes: [${nodes.map((node) => `"${node}"`).join(', ')}]
    users:
      - name: "default"
`,
  )
  const child = spawn(path, ['-config', join(folder, 'config.yml')], {
    stdio: ['ignore', 'ignore', 'ignore'],
    env: { ...process.env, GOMAXPROCS: '1' },
  })
  const url = `http://127.0.0.1:${port}`
  await answers(`${url}/?query=SELECT+1`, child)
  return {
    name: 'chproxy',
    url,
    usage: async () => procUsage(child.pid ?? 0),
    async stop() {
      await end(child)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

async function answers(url: string, child: ChildProcess): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (child.exitCode !== null) throw new Error(`chproxy ended with status ${child.exitCode}`)
    const answer = await fetch(url).catch(() => null)
    if (answer?.ok === true) return
    await new Promise((wait) => setTimeout(wait, 50))
  }
  throw new Error('chproxy does not answer')
}

/** CPU time and memory of another process, from /proc (Linux). */
function procUsage(pid: number): RouterProcessUsage {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticksPerSecond = 100
  const pageBytes = 4096
  return {
    cpuMs: ((Number(fields[11]) + Number(fields[12])) / ticksPerSecond) * 1000,
    rssBytes: Number(fields[21]) * pageBytes,
    counters: {},
  }
}
