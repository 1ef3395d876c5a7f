import type { DataMove, DataMoveState } from '#schemas'
import {
  type Clock,
  createPause,
  ForestallError,
  isError,
  type Pause,
  type SegmentTable,
  type Timers,
} from '#core/ports'
import { partitionOfSegment } from '../log/index.ts'
import { endingWithout } from './endings.ts'
import type { MoveLog } from './move-log.ts'
import {
  afterSwitch,
  copyStep,
  dropStep,
  joinStep,
  type MovePeer,
  reverseStep,
  type StepDeps,
  type StepResult,
  undo,
  verifyStep,
} from './phases.ts'
import { createPatience } from './patience.ts'
import { createPlaces } from './places.ts'
import { stoppable } from './stoppable.ts'
import { OVER, readersOf } from './readers.ts'

/** Carries out moves of segments, each through its phases, across crashes of anything. */
export interface Mover {
  /** Becomes the only mover of the service, and goes on with what is under way. */
  start(): Promise<void>
  /** Ends after the steps under way, which a restart repeats. Tolerates a second call. */
  stop(): Promise<void>
  /**
   * Carries out a move of a segment; resolves once it is switched, and `from` is kept for the way back, or once it has
   * failed. The same move again does nothing. The way back of one that is still reversible reverses it.
   */
  move(segment: number, move: DataMove): Promise<DataMoveState>
  /** Back to `from`; resolves once reads go there. Throws NOT_FOUND, or REQUEST_INVALID if it is too late. */
  reverse(moveId: string): Promise<DataMoveState>
  /** Resolves once no move of a segment is on its way to its switch. */
  switched(segment: number): Promise<void>
  /** Instances that answer reads of a segment, by name. */
  readers(segment: number): string[]
  /** What is known of moves, the oldest first. */
  states(): readonly DataMoveState[]
  /** Resolves once no move is under way; those that are switched and wait count as under way. */
  settled(): Promise<void>
}

/** What a mover is made of. */
export interface MoverOptions {
  readonly service: string
  /** Segments of the service, and partitions of its write log. */
  readonly segments: number
  readonly partitions: number
  /** May change while it runs: an instance that answers again, is added or taken out. */
  readonly peers: readonly MovePeer[]
  /** Whether there is an instance of that name, even if it does not answer at present. Default: those of `peers`. */
  readonly isConfigured?: (name: string) => boolean
  /** The sharded tables, with the condition for the rows of a segment. */
  readonly tablesOf: (segment: number) => readonly SegmentTable[]
  readonly log: MoveLog
  readonly clock: Clock
  readonly timers: Timers
  /** How long a move can be reversed once it is switched, ms. Also: how long reads that began before may take. Default 60,000. */
  readonly reversibleMs?: number
  /** Moves under way at the same time. Default 2. */
  readonly atOnce?: number
  /** Readers of a segment have changed. */
  readonly onReaders: (segment: number, readers: readonly string[]) => void
  /** A phase has been written to the log, and begins. */
  readonly onPhase?: (state: DataMoveState) => void
  /** Writes to one partition of an instance waited this long, ms. */
  readonly onPause?: (elapsedMs: number) => void
  readonly onWarning?: (error: Error) => void
}

const REVERSIBLE_MS = 60_000
const AT_ONCE = 2
/** Errors in a row with which an instance answers before what was copied is undone. */
const MOST_REFUSALS = 8
/** Phases in which nobody relies on the move yet. */
const COPYING: ReadonlySet<string> = new Set(['copying', 'joining', 'verifying'])
/** Moves that are over are remembered this long, so that a decision that comes again finds them done. */
const REMEMBERED_MS = 86_400_000

interface Running {
  state: DataMoveState
  /** Settles once reads go where they will go. */
  readonly switched: PromiseWithResolvers<DataMoveState>
  /** Settles once reads have gone back. */
  readonly back: PromiseWithResolvers<DataMoveState>
  /** Ends the wait in which a move is reversible. */
  pause: Pause | null
  wantsBack: boolean
  over: Promise<void>
}

/** A mover; only one per service may run at a time, in the process of the appliers. */
export function createMover(options: MoverOptions): Mover {
  const { log, clock, peers, reversibleMs = REVERSIBLE_MS, onWarning = () => {} } = options
  const moves = new Map<string, Running>()
  /** Moves of a segment follow one another. */
  const turns = new Map<number, Promise<void>>()
  /** Comparisons of a partition follow one another: see `verifyStep`. */
  const comparing = new Map<number, Promise<void>>()
  const places = createPlaces(options.atOnce ?? AT_ONCE)
  const stopping = new AbortController()
  const patience = createPatience(options.timers, stopping.signal, onWarning)
  const isConfigured = options.isConfigured ?? ((name) => peers.some((peer) => peer.name === name))

  const peerOf = (name: string): MovePeer => {
    const found = peers.find((peer) => peer.name === name)
    if (found === undefined) throw new ForestallError('NOT_FOUND', `There is no instance ${name}.`)
    return stoppable(found, stopping.signal)
  }

  function readers(segment: number): string[] {
    const holders = peers.flatMap(({ name, applier }) => (applier.nextOf(segment) >= 0 ? [name] : []))
    const states = [...moves.values()].map(({ state }) => state)
    return readersOf(segment, states, holders)
  }

  /** What may or may not be in the log must be in it before anything else is done. */
  const write = (state: DataMoveState): Promise<void> =>
    patience.insist(
      () => log.append(state),
      (error) => isError(error, 'PRODUCER_FENCED'),
    )

  /** Writes a phase, then lets it count: after a crash the log says at least as much as has been done. */
  async function enter(running: Running, change: StepResult): Promise<void> {
    const reversible =
      change.phase === 'switched' ? { reversible_until_ms: clock.nowMs() + reversibleMs } : {}
    const state = { ...running.state, ...change, ...reversible, at_ms: clock.nowMs() }
    await write(state)
    running.state = state
    options.onReaders(state.segment, readers(state.segment))
    if (state.phase === 'switched' || OVER.has(state.phase)) running.switched.resolve(state)
    if (state.phase === 'reversing') running.back.resolve(state)
    options.onPhase?.(state)
  }

  function depsOf({ state }: Running): StepDeps {
    return {
      state,
      // Looked up when they are needed: one that does not answer holds up only what it takes part in.
      get from() {
        return peerOf(state.from)
      },
      get to() {
        return state.kind === 'drop' ? null : peerOf(state.to)
      },
      partition: partitionOfSegment(state.segment, options.partitions),
      tables: options.tablesOf(state.segment),
      signal: stopping.signal,
      others: () =>
        readers(state.segment).filter((name) => name !== (state.kind === 'drop' ? state.from : state.to)),
      onPause: (elapsedMs) => options.onPause?.(elapsedMs),
      nowMs: () => performance.now(),
    }
  }

  /** The wait in which the way back is open; a restart waits for what is left of it. */
  async function keep(running: Running): Promise<StepResult> {
    const untilMs = running.state.reversible_until_ms ?? 0
    running.pause = createPause(options.timers)
    if (!running.wantsBack && !stopping.signal.aborted)
      await running.pause.wait(Math.max(0, untilMs - clock.nowMs()))
    running.pause = null
    return afterSwitch(depsOf(running), running.wantsBack)
  }

  async function step(running: Running): Promise<StepResult> {
    const deps = depsOf(running)
    const ending = await endingWithout(deps, isConfigured)
    if (ending !== null) return ending
    switch (running.state.phase) {
      case 'copying':
        return running.state.kind === 'drop' ? dropBegins(deps) : copyStep(deps)
      case 'joining':
        return joinStep(deps)
      case 'verifying':
        return inTurn(deps.partition, () => verifyStep(deps))
      case 'switched':
        return keep(running)
      case 'reversing':
        return reverseStep(deps)
      default:
        return dropStep(deps)
    }
  }

  function inTurn<T>(partition: number, work: () => Promise<T>): Promise<T> {
    const result = (comparing.get(partition) ?? Promise.resolve()).then(work)
    comparing.set(
      partition,
      result.then(
        () => undefined,
        () => undefined,
      ),
    )
    return result
  }

  /** A segment never loses its last reader. */
  function dropBegins(deps: StepDeps): Promise<StepResult> {
    return Promise.resolve(
      deps.others().length > 0
        ? { phase: 'switched' }
        : { phase: 'failed', reason: `${deps.state.from} is the last that answers reads of the segment` },
    )
  }

  /**
   * Runs the phases until the move is over. What may pass is tried again; what an instance refuses before the switch
   * (tables that were changed meanwhile, a full disk) undoes the copy, and ends the move if it goes on.
   */
  async function run(running: Running): Promise<void> {
    let [failures, refusals] = [0, 0]
    while (!OVER.has(running.state.phase) && !stopping.signal.aborted) {
      try {
        const isRefused = refusals >= MOST_REFUSALS
        const change = isRefused ? await undo(depsOf(running), running.state.reason) : await step(running)
        if (stopping.signal.aborted) return
        await enter(running, change)
        if (isRefused || change.phase !== 'copying') refusals = 0
        if (change.phase !== 'copying') failures = 0
        else await rest(running, failures++)
      } catch (error) {
        if (stopping.signal.aborted) return
        onWarning(error as Error)
        if (isError(error, 'PRODUCER_FENCED')) return running.switched.reject(error)
        if (COPYING.has(running.state.phase)) refusals += weightOf(error)
        if (refusals >= MOST_REFUSALS) running.state = { ...running.state, reason: (error as Error).message }
        await rest(running, failures++)
      }
    }
  }

  /** A pause after a failure; whoever waits for a place has this one meanwhile. */
  async function rest(running: Running, failures: number): Promise<void> {
    if (COPYING.has(running.state.phase)) places.leave()
    await patience.rest(failures)
    if (COPYING.has(running.state.phase)) await places.take()
  }

  /** A place among those that may be under way; a move that only waits to be dropped gives its place up. */
  async function admitted(running: Running): Promise<void> {
    await places.take()
    const over = run(running)
    await Promise.race([over, running.switched.promise.catch(() => undefined)])
    places.leave()
    await over
  }

  function begin(state: DataMoveState): Running {
    const switched = Promise.withResolvers<DataMoveState>()
    switched.promise.catch(() => undefined)
    const back = Promise.withResolvers<DataMoveState>()
    const running: Running = { state, switched, back, pause: null, wantsBack: false, over: Promise.resolve() }
    moves.set(state.move_id, running)
    if (OVER.has(state.phase) || state.phase === 'switched' || state.phase === 'dropping')
      switched.resolve(state)
    const before = turns.get(state.segment) ?? Promise.resolve()
    running.over = before.then(() => (stopping.signal.aborted ? undefined : admitted(running)))
    turns.set(state.segment, running.over)
    return running
  }

  /** The way back of one that is reversible; null if it has become too late meanwhile. */
  async function wayBack(running: Running): Promise<DataMoveState | null> {
    const state = await reverse(running)
    return state.phase === 'reversing' || state.phase === 'reversed' ? state : null
  }

  /** A move that is still reversible and that this one would undo. */
  const undoneBy = (segment: number, { from, to }: DataMove): Running | undefined =>
    [...moves.values()].find(
      ({ state }) =>
        state.segment === segment && state.phase === 'switched' && state.from === to && state.to === from,
    )

  async function reverse(running: Running): Promise<DataMoveState> {
    const { state } = running
    if (state.phase !== 'switched')
      throw new ForestallError(
        'REQUEST_INVALID',
        `${state.move_id} is ${state.phase}: only what is switched goes back.`,
      )
    running.wantsBack = true
    running.pause?.end()
    // A mover that stops meanwhile leaves it to the next.
    await Promise.race([running.back.promise, running.over])
    return running.state
  }

  return {
    async start() {
      const states = (await log.open()).sort((a, b) => a.began_at_ms - b.began_at_ms)
      for (const state of states) {
        if (OVER.has(state.phase) && state.at_ms < clock.nowMs() - REMEMBERED_MS)
          await log.forget(state.move_id)
        else begin(state)
      }
      for (let segment = 0; segment < options.segments; segment++)
        options.onReaders(segment, readers(segment))
    },
    async stop() {
      stopping.abort()
      for (const { pause } of moves.values()) pause?.end()
      places.open()
      await Promise.allSettled([...moves.values()].map(({ over }) => over))
      // Whoever waits for a switch must not wait for ever; the next mover goes on with it.
      for (const { switched } of moves.values()) switched.reject(stopped())
      await log.close()
    },
    async move(segment, move) {
      const known = moves.get(move.move_id)
      if (known !== undefined) return known.switched.promise
      const undone = move.kind === 'move' ? undoneBy(segment, move) : undefined
      const back = undone === undefined ? null : await wayBack(undone)
      if (back !== null) return back
      for (const name of [move.from, ...(move.kind === 'drop' ? [] : [move.to])]) peerOf(name)
      const nowMs = clock.nowMs()
      const state: DataMoveState = {
        move_id: move.move_id,
        service: options.service,
        segment,
        kind: move.kind,
        from: move.from,
        to: move.to,
        phase: 'copying',
        offset: -1,
        rows: -1,
        attempt: 1,
        began_at_ms: nowMs,
        at_ms: nowMs,
        reversible_until_ms: null,
        reason: '',
      }
      if (stopping.signal.aborted) throw stopped()
      await write(state)
      // Whoever moves segments next finds it in the log.
      if (stopping.signal.aborted) throw stopped()
      options.onPhase?.(state)
      return begin(state).switched.promise
    },
    async reverse(moveId) {
      const running = moves.get(moveId)
      if (running === undefined) throw new ForestallError('NOT_FOUND', `There is no move ${moveId}.`)
      return reverse(running)
    },
    async switched(segment) {
      const own = [...moves.values()].filter(({ state }) => state.segment === segment)
      await Promise.all(own.map((running) => running.switched.promise))
    },
    readers,
    states: () => [...moves.values()].map(({ state }) => state).sort((a, b) => a.began_at_ms - b.began_at_ms),
    async settled() {
      await Promise.all([...moves.values()].map(({ over }) => over))
    },
  }
}

/** How much an error says that it will not pass, of `MOST_REFUSALS`: what did not come from an instance says nothing. */
function weightOf(error: unknown): number {
  if (isError(error, 'WAREHOUSE_REJECTED')) return MOST_REFUSALS
  return isError(error, 'WAREHOUSE_UNAVAILABLE') && error.cause === undefined ? 1 : 0
}

const stopped = (): ForestallError =>
  new ForestallError('REPLICA_LATE', 'The mover has stopped; the next one goes on.')
