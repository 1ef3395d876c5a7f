import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** How a worker process is started. */
export interface WorkerProcessOptions {
  readonly slot: string
  readonly prefix: string
  readonly networkFile: string
  readonly windowMs: number
  readonly logFile: string
  /** Where the parts are: KAFKA_BROKERS, CLICKHOUSE_URL, SCHEMA_REGISTRY_URL. */
  readonly environment: Readonly<Record<string, string>>
}

/** `forestall stream` in a process of its own, started again whenever it ends. */
export interface WorkerProcess {
  readonly slot: string
  /** Times it ended without having been killed: parts that it needs were gone for too long. */
  readonly exits: number
  /** Resolves when it streams: at once if it does, else when its next process does. */
  ready(): Promise<void>
  /** `kill -9`; it stays down until what is returned is called. */
  kill(): Promise<() => void>
  /** Stands still (SIGSTOP) until what is returned is called. */
  freeze(): () => void
  /** Ends it for good. */
  stop(): Promise<void>
  /** The last lines it wrote. */
  tail(): readonly string[]
}

const ENTRY = fileURLToPath(new URL('../forestall.ts', import.meta.url))
const RESTART_MS = 500
const STOP_MS = 15_000
const LOOK_MS = 50
const TAIL_LINES = 30

const delay = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** Starts a worker and keeps it running, as a service manager would. */
export function startWorkerProcess(options: WorkerProcessOptions): WorkerProcess {
  const { slot, prefix, networkFile, windowMs, environment } = options
  const log = createWriteStream(options.logFile, { flags: 'a' })
  const tail: string[] = []
  let exits = 0
  let stopped = false
  /** Killed, and not to be started again yet. */
  let down = false
  let child: ChildProcess
  let streaming = false

  function note(line: string): void {
    log.write(`${line}\n`)
    tail.push(line)
    if (tail.length > TAIL_LINES) tail.shift()
  }

  function launch(): void {
    const args = ['stream', 'traffic-routing', '--topology', 'all', '--slot', slot, '--prefix', prefix]
    const started = spawn(
      process.execPath,
      [ENTRY, ...args, '--network', networkFile, '--window', `${windowMs}ms`, '--verbose'],
      { env: { ...process.env, ...environment }, stdio: ['ignore', 'ignore', 'pipe'] },
    )
    child = started
    const reader = createInterface({ input: started.stderr })
    reader.on('line', (line) => {
      note(line)
      if (line.startsWith('streaming ') && child === started && !isOver()) streaming = true
    })
    started.once('exit', (code, signal) => void ended(started, signal ?? `exit code ${code}`))
  }

  async function ended(it: ChildProcess, how: string): Promise<void> {
    note(`-- ended: ${how}`)
    if (stopped) return
    streaming = false
    if (down) return
    exits++
    await delay(RESTART_MS)
    // It may have been killed since, which changes nothing but who starts it again.
    if (!stopped && !down && child === it) launch()
  }

  const isOver = () => child.exitCode !== null || child.signalCode !== null

  /** Whoever ends this process at once must not leave workers behind. */
  const killNow = (): void => void child.kill('SIGKILL')
  process.once('exit', killNow)
  launch()
  return {
    slot,
    get exits() {
      return exits
    },
    async ready() {
      const settled = () => streaming || stopped
      while (!settled()) await delay(LOOK_MS)
    },
    async kill() {
      down = true
      if (!isOver()) {
        const gone = once(child, 'exit')
        child.kill('SIGKILL')
        await gone
      }
      return () => {
        if (down && !stopped) launch()
        down = false
      }
    },
    freeze() {
      const frozen = child
      frozen.kill('SIGSTOP')
      return () => void frozen.kill('SIGCONT')
    },
    async stop() {
      if (stopped) return
      stopped = true
      process.off('exit', killNow)
      if (!isOver()) {
        const gone = once(child, 'exit')
        child.kill('SIGCONT')
        child.kill('SIGTERM')
        const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
        await gone
        clearTimeout(timer)
      }
      log.end()
    },
    tail: () => tail,
  }
}
