import type { DataMovePhase, DataMoveState } from '#schemas'
import { ForestallError, isError, type SegmentStore, type SegmentTable } from '#core/ports'
import type { Applier } from '../log/index.ts'

/** An instance that segments move between. */
export interface MovePeer {
  readonly name: string
  readonly applier: Applier
  readonly store: SegmentStore
}

/** What one step of a move works with. */
export interface StepDeps {
  readonly state: DataMoveState
  /** Null for a drop. */
  readonly to: MovePeer | null
  readonly from: MovePeer
  /** The partition of the log that the segment's rows go through. */
  readonly partition: number
  readonly tables: readonly SegmentTable[]
  /** Ends waits for replicas and copies under way: what they lead to is repeated by the next mover. */
  readonly signal: AbortSignal
  /** Who answers reads of the segment beside the one that comes or goes. */
  others(): readonly string[]
  /** How long writes to the partition waited at an instance, ms. */
  onPause(elapsedMs: number): void
  nowMs(): number
}

/** What a step changes of the state. */
export type StepResult = Partial<DataMoveState> & { readonly phase: DataMovePhase }

/** Comparisons of a move before it is given up. */
const MOST_ATTEMPTS = 4
/** Tries to put aside between two blocks before writes are made to wait. */
const GAP_TRIES = 20
/** Offsets that go by in one try of a log that will leave no gap. */
const NO_GAP_OFFSETS = 20
/** Tries to find both replicas at the same offset: under load they pass one another. */
const LEVEL_TRIES = 500
/** Longest wait of one replica for the other in a try, ms. */
const SOON_MS = 1000

/** Names of what is put aside: of the copy and of the comparison. */
export const copyName = (moveId: string): string => `copy:${moveId}`
const compareName = (moveId: string): string => `compare:${moveId}`

/** Whether a replica holds the segment. One that has not answered yet refuses, which is no answer: it is asked again. */
const holds = ({ applier }: MovePeer, { partition, state }: StepDeps): Promise<boolean> =>
  applier.between(partition, () => Promise.resolve(applier.nextOf(state.segment) >= 0))

/**
 * Brings the rows as of one offset to the new instance, aside from its tables. The old one is held up for the time of
 * hard links at most; it goes on applying the log while its rows are copied.
 */
export async function copyStep(deps: StepDeps): Promise<StepResult> {
  const { state, from, tables } = deps
  const to = target(deps)
  const name = copyName(state.move_id)
  await Promise.all([from.store.discard(name), to.store.discard(name)])
  if (!(await holds(from, deps))) return failed(`${from.name} does not hold the segment`)
  if (await holds(to, deps)) return failed(`${to.name} holds the segment already`)
  // What an earlier stay of the segment, or an attempt that failed, has left.
  if ((await to.store.fingerprint(tables)).rows > 0) await to.store.clear(tables)
  await Promise.all([from.store.stage(name, tables), to.store.stage(name, tables)])
  const offset = (await putAsideInAGap(deps, [from], name)) ?? (await putAsideHeld(deps, name))
  await to.store.copyFrom(from.store, name, tables, deps.signal)
  const [had, has] = await Promise.all([
    from.store.fingerprint(tables, name),
    to.store.fingerprint(tables, name),
  ])
  await from.store.discard(name)
  if (had.rows !== has.rows || had.hash !== has.hash) {
    await to.store.discard(name)
    return again(state, `the copy has ${has.rows} rows (${has.hash}), the original ${had.rows} (${had.hash})`)
  }
  return { phase: 'joining', offset, rows: had.rows, reason: '' }
}

/** Adds the copy to the tables and lets the log go on from its offset. */
export async function joinStep(deps: StepDeps): Promise<StepResult> {
  const { state, partition, tables, signal } = deps
  const to = target(deps)
  await to.store.attach(copyName(state.move_id), tables)
  if (!(await to.applier.reachedPartition(partition, state.offset, signal))) throw stopped()
  await to.applier.hold(state.segment, state.offset)
  await to.store.discard(copyName(state.move_id))
  return { phase: 'verifying' }
}

/** Compares both at the same offset; writes wait for hard links at most, not for the comparison. */
export async function verifyStep(deps: StepDeps): Promise<StepResult> {
  const { state, from, tables } = deps
  const to = target(deps)
  const name = compareName(state.move_id)
  await Promise.all([from.store.discard(name), to.store.discard(name)])
  // Where nothing is held nothing comes after what is compared, and two empty tables are equal.
  if (!(await holds(to, deps))) return undo(deps, `${to.name} does not hold the segment any more`)
  await Promise.all([from.store.stage(name, tables), to.store.stage(name, tables)])
  if ((await putAsideInAGap(deps, [from, to], name)) === null) await putAsideAtOneOffset(deps, to, name)
  const [had, has] = await Promise.all([
    from.store.fingerprint(tables, name),
    to.store.fingerprint(tables, name),
  ])
  await Promise.all([from.store.discard(name), to.store.discard(name)])
  if (had.rows === has.rows && had.hash === has.hash) return { phase: 'switched', rows: had.rows, reason: '' }
  return undo(deps, `${to.name} has ${has.rows} rows (${has.hash}), ${from.name} ${had.rows} (${had.hash})`)
}

/** The new replica lets go of what it has so far; the copy begins anew, unless it has been tried often enough. */
export async function undo(deps: StepDeps, reason: string): Promise<StepResult> {
  const to = target(deps)
  await letGo(deps, to).catch((error: unknown) => {
    // Rows of tables that nobody may touch any more: no replica reads what it does not hold, and a copy clears first.
    if (!isError(error, 'WAREHOUSE_REJECTED')) throw error
  })
  for (const { store } of [deps.from, to])
    for (const name of asideNames(deps.state)) await store.discard(name)
  return again(deps.state, reason)
}

/** Names of all that is put aside for a move. */
export const asideNames = ({ move_id }: DataMoveState): string[] => [copyName(move_id), compareName(move_id)]

/** A replica ends applying the segment, then its rows go. */
export async function letGo({ state, tables }: StepDeps, { applier, store }: MovePeer): Promise<void> {
  await applier.release(state.segment)
  await store.clear(tables)
}

/**
 * Puts aside without holding anything up: what is put aside is as of one offset if nothing was applied meanwhile, which
 * is seen afterwards. Resolves with the offset; null if the log leaves no gap, and nothing is put aside then.
 */
async function putAsideInAGap(
  deps: StepDeps,
  peers: readonly MovePeer[],
  name: string,
): Promise<number | null> {
  const { partition, tables, signal } = deps
  // Waits for what is being applied, so that nothing is half there.
  const offsets = (): Promise<number[]> =>
    Promise.all(peers.map(({ applier }) => applier.between(partition, (next) => Promise.resolve(next))))
  for (let left = GAP_TRIES; left > 0 && !signal.aborted; left--) {
    const offset = Math.max(...(await offsets()))
    const late = soon(signal)
    await Promise.all(peers.map(({ applier }) => applier.reachedPartition(partition, offset, late)))
    if ((await offsets()).some((next) => next !== offset)) continue
    await settled(peers.map(({ store }) => store.snapshot(name, tables)))
    const after = await offsets()
    if (after.every((next) => next === offset)) {
      deps.onPause(0)
      return offset
    }
    await Promise.all(peers.map(({ store }) => store.stage(name, tables)))
    if (Math.max(...after) - offset >= NO_GAP_OFFSETS) return null
  }
  return null
}

/** As Promise.all, but nothing of it is under way any more when it rejects. */
async function settled(work: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(work)
  await Promise.all(work)
}

/** Puts aside while the old replica applies nothing. */
function putAsideHeld(deps: StepDeps, name: string): Promise<number> {
  return deps.from.applier.between(deps.partition, async (next) => {
    await timed(deps, () => deps.from.store.snapshot(name, deps.tables))
    return next
  })
}

/**
 * The new replica stands still until both are at the same offset; the old one, which serves, only for the hard links.
 * Comparisons of a partition follow one another (the mover sees to it), so that opposite moves cannot wait for each other.
 */
async function putAsideAtOneOffset(deps: StepDeps, to: MovePeer, name: string): Promise<void> {
  const { from, partition, tables, signal } = deps
  for (let left = LEVEL_TRIES; left > 0; left--) {
    const isLevel = await to.applier.between(partition, async (offset) => {
      if (from.applier.next(partition) > offset) return false
      return timed(deps, async () => {
        if (!(await from.applier.reachedPartition(partition, offset, soon(signal)))) return false
        return from.applier.between(partition, async (next) => {
          if (next !== offset) return false
          await settled([from, to].map(({ store }) => store.snapshot(name, tables)))
          return true
        })
      })
    })
    if (isLevel) return
    if (signal.aborted) throw stopped()
    await to.applier.reachedPartition(partition, from.applier.next(partition), soon(signal))
  }
  throw new ForestallError('REPLICA_LATE', `${from.name} and ${to.name} do not come to the same offset.`)
}

const soon = (signal: AbortSignal): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(SOON_MS)])

/** What follows once a move need not be reversible any more, or is wanted back: nobody lets go of the last replica. */
export async function afterSwitch(deps: StepDeps, isWantedBack: boolean): Promise<StepResult> {
  const { state, from } = deps
  if (state.kind === 'copy') return { phase: isWantedBack ? 'reversing' : 'dropping' }
  const isHeld = await holds(from, deps)
  if (isHeld && (isWantedBack || !(await isElsewhere(deps)))) return { phase: 'reversing' }
  return { phase: 'dropping' }
}

/** Whether `from` is not needed: `to` holds the segment, and for a drop another one does. */
const isElsewhere = async (deps: StepDeps): Promise<boolean> =>
  deps.to === null ? deps.others().length > 0 : holds(deps.to, deps)

/** The old replica lets go of the segment. */
export async function dropStep(deps: StepDeps): Promise<StepResult> {
  const { state, from } = deps
  if (state.kind === 'copy') return { phase: 'done' }
  // Looked at again: after a restart the other one may not be what it was.
  if (!(await isElsewhere(deps))) {
    if (await holds(from, deps)) return { phase: 'reversing', reason: 'nobody else holds the segment' }
    if (deps.to === null) throw new ForestallError('REPLICA_LATE', 'Nobody else answers reads at present.')
    return failed(`nobody holds the segment; what ${from.name} has of it is kept`)
  }
  await letGo(deps, from)
  return { phase: 'done' }
}

/** The new replica lets go of the segment. */
export async function reverseStep(deps: StepDeps): Promise<StepResult> {
  const { state, from, to } = deps
  if (to === null) return { phase: 'reversed' }
  const isHeld = state.kind === 'copy' ? deps.others().length > 0 : await holds(from, deps)
  if (!isHeld && (await holds(to, deps))) return failed(`${to.name} is the last that holds the segment`)
  await letGo(deps, to)
  return { phase: 'reversed' }
}

async function timed<T>(deps: StepDeps, work: () => Promise<T>): Promise<T> {
  const beganMs = deps.nowMs()
  const result = await work()
  deps.onPause(deps.nowMs() - beganMs)
  return result
}

function target({ to, state }: StepDeps): MovePeer {
  if (to === null) throw new ForestallError('REQUEST_INVALID', `${state.move_id} has no instance to copy to.`)
  return to
}

const failed = (reason: string): StepResult => ({ phase: 'failed', reason })

const again = (state: DataMoveState, reason: string): StepResult =>
  state.attempt >= MOST_ATTEMPTS
    ? failed(`given up after ${state.attempt} attempts: ${reason}`)
    : { phase: 'copying', attempt: state.attempt + 1, offset: -1, reason }

const stopped = (): ForestallError => new ForestallError('REPLICA_LATE', 'The mover was stopped meanwhile.')
