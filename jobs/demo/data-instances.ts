import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ForestallError } from '#core/ports'
import { type ClickHouseProcess, startClickHouse } from '#infra/clickhouse'

/** Embedded ClickHouse instances on folders of their own. */
export interface DataInstances {
  readonly list: readonly { readonly name: string; readonly url: string; readonly dataDir: string }[]
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
  const { count, folder, onDied, availableBytes = process.availableMemory() } = options
  const neededBytes = count * INSTANCE_BYTES
  if (availableBytes < neededBytes) {
    const mib = (bytes: number): number => Math.round(bytes / 2 ** 20)
    throw new ForestallError(
      'SERVICE_MISSING',
      `${count} ClickHouse instances need ${mib(neededBytes)} MiB of memory, ${mib(availableBytes)} MiB are free.`,
    )
  }
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const names = Array.from({ length: count }, (_, i) => `i${i}`)
  const started = await Promise.allSettled(
    names.map((name) =>
      startClickHouse({
        dataDir: join(folder, name),
        logFile: join(folder, `${name}.log`),
        onExit: (code, signal) => onDied(name, signal ?? `exit status ${code}`),
      }),
    ),
  )
  const processes = started.flatMap((it): ClickHouseProcess[] =>
    it.status === 'fulfilled' ? [it.value] : [],
  )
  let stopping: Promise<void> | null = null
  const stop = (): Promise<void> =>
    (stopping ??= Promise.all(processes.map((it) => it.stop())).then(() =>
      rmSync(folder, { recursive: true, force: true }),
    ))
  const failed = started.find((it) => it.status === 'rejected')
  if (failed !== undefined) {
    await stop()
    throw failed.reason as Error
  }
  return {
    list: processes.map(({ url }, i) => ({
      name: names[i] ?? '',
      url,
      dataDir: join(folder, names[i] ?? ''),
    })),
    stop,
  }
}
