import { join, resolve } from 'node:path'
import { ForestallError } from '#core/ports'
import { lockDataFolder } from './data-folder.ts'
import { pidFiles, type PidFiles } from './pid-files.ts'

/** What a part looks like to its supervisor while it runs. */
export interface RunningPart {
  /** Absent for a part that lives in this process. */
  readonly pid?: number
  readonly logFile?: string
  /** Settles when the part has ended, with words on how. */
  readonly exited?: Promise<string>
  stop(): Promise<void>
  kill9(): Promise<void>
}

/** What a launcher is given. */
export interface LaunchContext {
  /** To be called as soon as the process exists, so that it is found even if this process dies next. */
  readonly onSpawn: (pid: number) => void
  /** Fires when the supervisor stops: give up starting. */
  readonly signal: AbortSignal
}

/** One part of the stack; `start`, `stop` and `kill9` may be called again in any order. */
export interface Part<Running extends RunningPart = RunningPart> {
  readonly name: string
  /** What runs now, if it runs. */
  readonly running: Running | undefined
  start(): Promise<Running>
  stop(): Promise<void>
  /** Resolves when a start that is under way has succeeded or failed. */
  settled(): Promise<void>
  /** Ends it as a crash would (SIGKILL). `onPartDied` is not told, since this was asked for. */
  kill9(): Promise<void>
}

/** Tells that a part ended by itself. */
export interface PartDeath {
  readonly part: string
  /** "signal SIGKILL", "exit code 1" */
  readonly how: string
  readonly logFile?: string
}

/** Settings of a supervisor. */
export interface SupervisorOptions {
  dataDir: string
  onPartDied?: (death: PartDeath) => void
}

/** Owns a data folder and the parts that run on it. */
export interface Supervisor {
  readonly dataDir: string
  /** Parts of an instance that had crashed, killed before this one started. */
  readonly orphansKilled: readonly string[]
  part<Running extends RunningPart>(
    name: string,
    launch: (context: LaunchContext) => Promise<Running>,
  ): Part<Running>
  /** Stops all parts, the one that was started last first, and releases the data folder. */
  stop(): Promise<void>
}

interface PartContext {
  pids: PidFiles
  signal: AbortSignal
  onPartDied: ((death: PartDeath) => void) | undefined
  /** Notes the order of first starts: what starts again still serves those that started after it. */
  onStart: (part: Part) => void
}

function createPart<Running extends RunningPart>(
  name: string,
  launch: (context: LaunchContext) => Promise<Running>,
  { pids, signal, onPartDied, onStart }: PartContext,
): Part<Running> {
  let running: Running | undefined
  let starting: Promise<Running> | undefined

  const watch = async (it: Running): Promise<void> => {
    const how = await it.exited
    if (how === undefined || running !== it) return
    running = undefined
    pids.clear(name)
    onPartDied?.({ part: name, how, ...(it.logFile === undefined ? {} : { logFile: it.logFile }) })
  }
  const startNow = async (): Promise<Running> => {
    if (signal.aborted)
      throw new ForestallError('STACK_FAILED', `${name} was asked to start while the stack stops.`)
    const onSpawn = (pid: number): void => pids.record(name, pid)
    const it = await launch({ signal, onSpawn }).catch((error: unknown) => {
      pids.clear(name)
      throw error
    })
    running = it
    onStart(part)
    void watch(it)
    return it
  }
  const settled = async (): Promise<void> => {
    await starting?.catch(() => {})
  }
  const end = async (how: 'stop' | 'kill9'): Promise<void> => {
    await settled()
    const it = running
    running = undefined
    await it?.[how]()
    pids.clear(name)
  }
  const part: Part<Running> = {
    name,
    get running() {
      return running
    },
    async start() {
      if (running) return running
      starting ??= startNow().finally(() => (starting = undefined))
      return starting
    },
    settled,
    stop: () => end('stop'),
    kill9: () => end('kill9'),
  }
  return part
}

/**
 * Locks the data folder and kills what a crashed instance left running on it.
 * Throws ALREADY_RUNNING if another instance uses the folder.
 */
export async function openSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const dataDir = resolve(options.dataDir)
  const release = lockDataFolder(dataDir)
  const pids = pidFiles(join(dataDir, 'run'))
  const orphansKilled = await pids.killOrphans()
  const abort = new AbortController()
  const parts: Part[] = []
  const started: Part[] = []
  let stopping: Promise<void> | undefined
  const onStart = (part: Part): void => {
    if (!started.includes(part)) started.push(part)
  }
  const stopAll = async (): Promise<void> => {
    abort.abort()
    const failures: unknown[] = []
    await Promise.all(parts.map((part) => part.settled()))
    for (const part of started.toReversed()) await part.stop().catch((error: unknown) => failures.push(error))
    release()
    if (failures.length > 0) throw failures[0]
  }
  return {
    dataDir,
    orphansKilled,
    part(name, launch) {
      const { onPartDied } = options
      const part = createPart(name, launch, { pids, signal: abort.signal, onPartDied, onStart })
      parts.push(part)
      return part
    },
    stop: () => (stopping ??= stopAll()),
  }
}
