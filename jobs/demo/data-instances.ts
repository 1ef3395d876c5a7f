import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ForestallError } from '#core/ports'
import { type ClickHouseProcess, startClickHouse } from '#infra/clickhouse'

/** One of them. */
export interface DataInstance {
  readonly name: string
  readonly url: string
  readonly dataDir: string
}

/** Embedded ClickHouse instances on folders of their own. */
export interface DataInstances {
  /** Those that run. */
  readonly list: readonly DataInstance[]
  /** Starts another one. Throws SERVICE_MISSING and STACK_FAILED as the first ones do. */
  start(name: string): Promise<DataInstance>
  /** Ends one and removes its folder. */
  end(name: string): Promise<void>
  /** Ends them and removes their folders; may be called twice. */
  stop(): Promise<void>
}

/** Settings of the instances. */
export interface DataInstancesOptions {
  readonly count: number
  /** Emptied before and after. */
  readonly folder: string
  /** Memory that may be taken, bytes; a test sets it. Default: what the machine has left. */
  readonly availableBytes?: number
  readonly onDied: (name: string, how: string) => void
}

/** Resident memory of one instance under this load, with room for merges. */
const INSTANCE_BYTES = 350 * 2 ** 20

/**
 * Starts the instances side by side. Throws SERVICE_MISSING if there is not memory enough for them, and STACK_FAILED
 * if one does not start; the others are then stopped.
 */
export async function startDataInstances(options: DataInstancesOptions): Promise<DataInstances> {
  const { count, folder, onDied, availableBytes } = options
  checkMemory(count, availableBytes)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const running: (DataInstance & { readonly process: ClickHouseProcess })[] = []

  async function launch(name: string): Promise<(typeof running)[number]> {
    const dataDir = join(folder, name)
    const process = await startClickHouse({
      dataDir,
      logFile: join(folder, `${name}.log`),
      onExit: (code, signal) => onDied(name, signal ?? `exit status ${code}`),
    })
    return { name, url: process.url, dataDir, process }
  }

  let stopping: Promise<void> | null = null
  const stop = (): Promise<void> =>
    (stopping ??= Promise.all(running.map((it) => it.process.stop())).then(() =>
      rmSync(folder, { recursive: true, force: true }),
    ))
  const started = await Promise.allSettled(Array.from({ length: count }, (_, i) => launch(`i${i}`)))
  for (const it of started) if (it.status === 'fulfilled') running.push(it.value)
  const failed = started.find((it) => it.status === 'rejected')
  if (failed !== undefined) {
    await stop()
    throw failed.reason as Error
  }
  return {
    list: running,
    async start(name) {
      checkMemory(1, availableBytes)
      const made = await launch(name)
      if (stopping === null) running.push(made)
      else await made.process.stop()
      return made
    },
    async end(name) {
      const at = running.findIndex((it) => it.name === name)
      const [gone] = at < 0 ? [] : running.splice(at, 1)
      await gone?.process.stop()
      if (gone !== undefined) rmSync(gone.dataDir, { recursive: true, force: true })
    },
    stop,
  }
}

function checkMemory(count: number, availableBytes = process.availableMemory()): void {
  const neededBytes = count * INSTANCE_BYTES
  if (availableBytes >= neededBytes) return
  const mib = (bytes: number): number => Math.round(bytes / 2 ** 20)
  throw new ForestallError(
    'SERVICE_MISSING',
    `${count} ClickHouse instances need ${mib(neededBytes)} MiB of memory, ${mib(availableBytes)} MiB are free.`,
  )
}
