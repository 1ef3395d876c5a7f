import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { mkdir, open, readFile, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ForestallError, isError } from '#core/ports'
import { createHaproxyClient, type HaproxyClient } from './client.ts'

/** A backend of the generated configuration. */
interface BackendConfig {
  name: string
  servers: { name: string; address: string; weight: number; options?: string }[]
}

/** What to start. */
export interface HaproxyConfig {
  /** For the configuration, the socket and the log; the path of the socket must stay below 100 bytes. */
  dataDir: string
  /** One listener on the loopback interface per entry. */
  frontends: { name: string; port: number; backend: string }[]
  backends: BackendConfig[]
  /** The program; PATH and /usr/sbin are searched by default. */
  binary?: string
}

/** A running HAProxy in master-worker mode. */
export interface HaproxyProcess {
  readonly socketPath: string
  readonly configFile: string
  readonly client: HaproxyClient
  /** Reads the configuration anew (SIGUSR2); resolves once a new worker answers. Connections under way complete. */
  reload(): Promise<void>
  /** Ends master and worker at once, as a crash would. */
  kill9(): Promise<void>
  /** Starts again after `kill9`. */
  restart(): Promise<void>
  /** Ends it; tolerates one that has ended. */
  stop(): Promise<void>
}

/** The path of the HAProxy program. Throws SERVICE_MISSING with how to get it. */
export function findHaproxy(binary?: string): string {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  const candidates = binary === undefined ? folders.map((folder) => join(folder, 'haproxy')) : [binary]
  for (const path of candidates) {
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // The next folder.
    }
  }
  throw new ForestallError('SERVICE_MISSING', `The program "${binary ?? 'haproxy'}" was not found.`, {
    cure: 'Install HAProxy 2.6 or later (Debian: apt-get install haproxy; macOS: brew install haproxy).',
  })
}

/** The configuration file: round robin, so that weights act at once and servers can be added. */
function haproxyConfigText(config: HaproxyConfig, socketPath: string): string {
  const lines = [
    'global',
    `  stats socket ${socketPath} mode 600 level admin expose-fd listeners`,
    '  stats timeout 30s',
    '  hard-stop-after 10s',
    'defaults',
    '  mode http',
    '  timeout connect 2s',
    '  timeout client 60s',
    '  timeout server 60s',
    '  option redispatch',
  ]
  for (const { name, port, backend } of config.frontends) {
    lines.push(`frontend ${name}`, `  bind 127.0.0.1:${port}`, `  default_backend ${backend}`)
  }
  for (const { name, servers } of config.backends) {
    lines.push(`backend ${name}`, '  balance roundrobin')
    for (const s of servers) {
      lines.push(`  server ${s.name} ${s.address} weight ${s.weight} ${s.options ?? ''}`.trimEnd())
    }
  }
  return `${lines.join('\n')}\n`
}

const START_TIMEOUT_MS = 15_000

/** Starts HAProxy. Throws SERVICE_MISSING, or STACK_FAILED with its own words. */
export async function startHaproxy(config: HaproxyConfig): Promise<HaproxyProcess> {
  const binary = findHaproxy(config.binary)
  await mkdir(config.dataDir, { recursive: true })
  const socketPath = join(config.dataDir, 'haproxy.sock')
  const configFile = join(config.dataDir, 'haproxy.cfg')
  const logFile = join(config.dataDir, 'haproxy.log')
  await writeFile(configFile, haproxyConfigText(config, socketPath))
  const client = createHaproxyClient({ socketPath })
  let master: ChildProcess | null = null
  let exited: Promise<void> = Promise.resolve()
  let workerPid = 0

  /** Waits for a worker other than `oldPid`. */
  async function answers(oldPid: number): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS
    for (;;) {
      try {
        const { pid } = await client.showInfo()
        if (pid !== oldPid) {
          workerPid = pid
          return
        }
      } catch (e) {
        if (!isError(e, 'DATA_PLANE_UNREACHABLE')) throw e
      }
      if (master === null || master.exitCode !== null || performance.now() > deadline) {
        const log = (await readFile(logFile, 'utf8')).trimEnd().split('\n').slice(-8).join('\n')
        throw new ForestallError('STACK_FAILED', `HAProxy does not answer. Log: ${logFile}\n${log}`)
      }
      await delay(10)
    }
  }

  async function launch(): Promise<void> {
    const log = await open(logFile, 'a')
    const child = spawn(binary, ['-W', '-f', configFile], { stdio: ['ignore', log.fd, log.fd] })
    master = child
    exited = new Promise((resolve) => {
      child.once('exit', () => resolve())
      child.once('error', () => resolve())
    })
    await log.close()
    await answers(0)
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const child = master
    master = null
    if (child === null) return
    child.kill(signal)
    // A killed master cannot end its worker.
    if (signal === 'SIGKILL') killQuietly(workerPid)
    const hard = setTimeout(() => child.kill('SIGKILL'), 12_000)
    await exited
    clearTimeout(hard)
  }

  await launch()
  return {
    socketPath,
    configFile,
    client,
    async reload() {
      const before = workerPid
      master?.kill('SIGUSR2')
      await answers(before)
    },
    kill9: () => end('SIGKILL'),
    restart: launch,
    stop: () => end('SIGTERM'),
  }
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended with its master.
  }
}
