import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { DataMove, DataMoveState } from '#schemas'

/** What the process of router and mover is told. */
export interface MovesProcessOptions {
  readonly brokers: string[]
  readonly registryUrl: string
  readonly prefix: string
  readonly reversibleMs: number
  /** As in the file of `forestall query-router`. */
  readonly config: object
}

/** A command, as a JSON line. */
export type MoveCommand =
  | { readonly do: 'move'; readonly segment: number; readonly move: DataMove }
  | { readonly do: 'reverse'; readonly moveId: string }
  | { readonly do: 'readers' }

/** A report, as a JSON line. */
export type MoveReport =
  | { readonly kind: 'ready'; readonly readers: string[][]; readonly states: DataMoveState[] }
  | { readonly kind: 'readers'; readonly readers: string[][]; readonly next: number[][] }
  | { readonly kind: 'phase'; readonly state: DataMoveState }
  | { readonly kind: 'pause'; readonly elapsedMs: number }
  | { readonly kind: 'refused'; readonly reason: string }

/** A router with its mover that can be killed at any time and starts again by itself. */
export interface MovesDriver {
  send(command: MoveCommand): void
  /** Kills it; resolves once it is back. */
  kill(): Promise<void>
  /** Asks for who reads what and how far each instance has applied the log. */
  readers(): Promise<Extract<MoveReport, { kind: 'readers' }>>
  stop(): Promise<void>
}

const PROGRAM = fileURLToPath(new URL('./moves-process.ts', import.meta.url))
const ASK_MS = 10_000

/** Starts the process; resolves once it routes. */
export async function startMovesDriver(
  options: MovesProcessOptions,
  onReport: (report: MoveReport) => void,
): Promise<MovesDriver> {
  let child: ChildProcess | null = null
  let stopping = false
  let asked: PromiseWithResolvers<Extract<MoveReport, { kind: 'readers' }>> | null = null

  async function launch(): Promise<void> {
    const ready = Promise.withResolvers<void>()
    const made = spawn(process.execPath, [PROGRAM, JSON.stringify(options)], {
      stdio: ['pipe', 'pipe', process.env['MOVES_BENCH_LOG'] === undefined ? 'ignore' : 'inherit'],
    })
    child = made
    made.stdin.on('error', () => undefined)
    createInterface({ input: made.stdout }).on('line', (line) => {
      const report = JSON.parse(line) as MoveReport
      if (report.kind === 'ready') ready.resolve()
      if (report.kind === 'readers') asked?.resolve(report)
      onReport(report)
    })
    made.once('exit', (code) => ready.reject(new Error(`the router ended with ${code} before it was ready`)))
    await ready.promise
  }

  const send = (command: MoveCommand): void => {
    child?.stdin?.write(`${JSON.stringify(command)}\n`)
  }

  await launch()
  return {
    send,
    async kill() {
      const old = child
      if (old === null || stopping) return
      const exited = old.exitCode === null && old.signalCode === null ? once(old, 'exit') : Promise.resolve()
      old.kill('SIGKILL')
      await exited
      await launch()
    },
    async readers() {
      asked = Promise.withResolvers()
      const late = setTimeout(() => asked?.reject(new Error('the router does not answer')), ASK_MS)
      send({ do: 'readers' })
      try {
        return await asked.promise
      } finally {
        clearTimeout(late)
      }
    },
    async stop() {
      stopping = true
      const old = child
      if (old === null || old.exitCode !== null || old.signalCode !== null) return
      const exited = once(old, 'exit')
      old.kill('SIGKILL')
      await exited
    },
  }
}
