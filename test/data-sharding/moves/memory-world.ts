import type { DataMoveState } from '#schemas'
import { type Clock, ForestallError, type SegmentStore, type SegmentTable, type Timers } from '#core/ports'
import { createMover, type Mover, type MoverOptions } from '../../../pipelines/data-sharding/moves/mover.ts'
import type { MoveLog } from '../../../pipelines/data-sharding/moves/move-log.ts'
import { until } from '../../support/until.ts'
import type { MovePeer } from '../../../pipelines/data-sharding/moves/phases.ts'

/** An instance in memory that outlives its movers. */
export interface MemoryInstance {
  readonly name: string
  readonly peer: MovePeer
  /** Segments whose log is applied here. */
  readonly held: Set<number>
  /** Count of rows by segment. */
  readonly rows: Map<number, number>
  /** Count of rows by what they were put aside for. */
  readonly aside: Map<string, number>
  /** Does not answer: whatever is asked of its applier waits, its tables cannot be reached. */
  isAway: boolean
  /** Called before each statement; throws what the instance refuses with. */
  onStatement: (what: string) => void
  /** It comes back with an empty disk. */
  loseDisk(): void
}

const segmentOf = (tables: readonly SegmentTable[]): number => Number(tables[0]?.condition)

export function memoryInstance(name: string, segments: Record<number, number>): MemoryInstance {
  const rows = new Map(Object.entries(segments).map(([segment, count]) => [Number(segment), count]))
  const [held, aside] = [new Set(rows.keys()), new Map<string, number>()]
  const ready = async (what: string): Promise<void> => {
    await Promise.resolve()
    if (made.isAway)
      throw new ForestallError('WAREHOUSE_UNAVAILABLE', `${name}: away`, { cause: new Error('away') })
    made.onStatement(what)
  }
  const present = async (): Promise<void> => {
    while (made.isAway) await new Promise((resolve) => setTimeout(resolve, 2).unref())
  }
  const count = (segment: number): number => rows.get(segment) ?? 0
  const store: SegmentStore = {
    async snapshot(of, tables) {
      await ready('snapshot')
      aside.set(of, count(segmentOf(tables)))
    },
    async stage(of) {
      await ready('stage')
      aside.set(of, 0)
    },
    async fingerprint(tables, of) {
      await ready('fingerprint')
      const found = of === undefined ? count(segmentOf(tables)) : (aside.get(of) ?? 0)
      return { rows: found, hash: String(found) }
    },
    async copyFrom(source, of) {
      await ready('copyFrom')
      aside.set(of, (stores.get(source) as MemoryInstance).aside.get(of) ?? 0)
    },
    async attach(of, tables) {
      await ready('attach')
      rows.set(segmentOf(tables), count(segmentOf(tables)) + (aside.get(of) ?? 0))
      aside.set(of, 0)
    },
    async discard(of) {
      await ready('discard')
      aside.delete(of)
    },
    async clear(tables) {
      await ready('clear')
      rows.delete(segmentOf(tables))
    },
  }
  const applier: Partial<MovePeer['applier']> = {
    next: () => 7,
    nextOf: (segment) => (held.has(segment) ? 7 : -1),
    reachedPartition: () => Promise.resolve(true),
    async between(_partition, work) {
      await present()
      return work(7)
    },
    async hold(segment) {
      await present()
      held.add(segment)
    },
    async release(segment) {
      await present()
      held.delete(segment)
    },
  }
  const made: MemoryInstance = {
    name,
    held,
    rows,
    aside,
    isAway: false,
    onStatement: () => undefined,
    loseDisk() {
      for (const kept of [held, rows, aside]) kept.clear()
    },
    peer: { name, store, applier: applier as MovePeer['applier'] },
  }
  stores.set(store, made)
  return made
}

const stores = new WeakMap<SegmentStore, MemoryInstance>()

/** A log in memory that outlives its movers. */
export interface MemoryLog extends MoveLog {
  readonly standing: Map<string, DataMoveState>
  /** What the next writes end with after they have taken effect, as when an answer is lost. */
  readonly losses: Error[]
}

export function memoryLog(): MemoryLog {
  const standing = new Map<string, DataMoveState>()
  const losses: Error[] = []
  return {
    standing,
    losses,
    open: async () => [...standing.values()],
    async append(state) {
      await Promise.resolve()
      standing.set(state.move_id, state)
      const loss = losses.shift()
      if (loss !== undefined) throw loss
    },
    forget: async (id) => void standing.delete(id),
    close: async () => undefined,
  }
}

const WAIT_FROM_MS = 6000

/** A mover over instances; pauses are short, the wait in which a move is reversible ends with `elapse`. */
export function memoryMover(
  instances: readonly MemoryInstance[],
  log: MoveLog,
  over: Partial<MoverOptions> = {},
): { mover: Mover; phases: string[]; warnings: string[]; readers: string[][]; elapse: () => Promise<void> } {
  const waits: (() => void)[] = []
  const [phases, warnings, readers]: [string[], string[], string[][]] = [[], [], []]
  const clock: Clock = { nowMs: () => 1_000_000 }
  const timers: Timers = {
    after(ms, run) {
      if (ms >= WAIT_FROM_MS) {
        waits.push(run)
        return { cancel: () => undefined }
      }
      const timer = setTimeout(run, 1)
      return { cancel: () => clearTimeout(timer) }
    },
  }
  const mover = createMover({
    service: 's',
    segments: 4,
    partitions: 1,
    peers: instances.map(({ peer }) => peer),
    tablesOf: (segment) => [{ database: 'd', table: 't', condition: String(segment) }],
    log,
    clock,
    timers,
    onReaders: (_segment, names) => readers.push([...names]),
    onPhase: ({ phase }) => phases.push(phase),
    onWarning: ({ message }) => warnings.push(message),
    ...over,
  })
  return {
    mover,
    phases,
    warnings,
    readers,
    async elapse() {
      await until(() => waits.length > 0, { everyMs: 1, what: 'a move that is reversible' })
      for (const run of waits.splice(0)) run()
    },
  }
}
