import type { Ack, RouteBody } from '#schemas'
import {
  type Broker,
  type Clock,
  type DecisionSource,
  ForestallError,
  type Header,
  type PartitionReader,
  type RecordCursor,
  systemTimers,
  type TimerHandle,
  type Timers,
  type TopicPartition,
} from '#core/ports'
import { type AckContext, isReported, startedAck, stoppedAck } from './processor-acks.ts'
import { heed, heedDue, objection, type Postponed } from './processor-decisions.ts'
import { decodeEntry, encodeEntry, learnEntry, recoverState } from './processor-log.ts'
import { addNewPartitions, skipRemoved } from './processor-positions.ts'
import {
  advance,
  ALL_STREAMS,
  enact,
  firstToken,
  isCatchingUp,
  isMine,
  newProcessorState,
  plan,
  type Plan,
} from './processor-state.ts'

/** Adds an output record to the transaction of its input. */
export type Emit = (
  topic: string,
  partition: number,
  timestampMs: number,
  key: Uint8Array | null,
  value: Uint8Array | null,
  headers?: readonly Header[],
) => void

/** Settings of a processor. */
export interface ProcessorOptions {
  /** Its name; one process at a time: a second one fences the first. */
  region: string
  /** Every region that has a processor, this one included. */
  regions: readonly string[]
  /** Region that processes every stream until a decision says otherwise; the same for all. */
  defaultRegion: string
  broker: Broker
  inputTopic: string
  /** Compacted, one partition; shared by all regions. */
  stateTopic: string
  /** Reads `decisions.traffic.routes`. */
  decisions: DecisionSource<RouteBody>
  /** The stream of the present record; null: none, the record is skipped. */
  streamOf: (cursor: RecordCursor) => string | null | Promise<string | null>
  /** Processes the present record of a stream that this region holds. */
  process: (cursor: RecordCursor, stream: string, emit: Emit) => void | Promise<void>
  /** Where to report fences: committed together with them. */
  acks?: { topic: string; encode: (ack: Ack) => Uint8Array | Promise<Uint8Array> }
  clock: Clock
  replayId?: string
  /** Longest time from a record to its commit. Default 100 ms. */
  commitIntervalMs?: number
  /** Commits earlier once this many bytes wait. Default 4 MiB. */
  maxPendingBytes?: number
  /** How long a killed process may hold others up that read what it wrote. Default 10,000 ms. */
  transactionTimeoutMs?: number
  timers?: Timers
  /** Told about what it got over: records that retention removed, refused decisions, Kafka away from the decisions. */
  onWarning?: (error: Error) => void
}

/** Positions without outputs are committed every so many intervals. */
const POSITIONS_EVERY = 10

/** What a processor does now. */
export interface ProcessorHealth {
  running: boolean
  catchingUp: boolean
  processed: number
  /** Read, but of streams that others hold. */
  passedBy: number
  commits: number
  handedOver: number
  takenOver: number
  positions: Record<number, number>
}

/** The processor of one region. */
export interface Processor {
  /** Recovers its state and begins to read; waits until the default region's processor has run once. */
  start(): Promise<void>
  /** Commits what is done and ends. */
  stop(): Promise<void>
  /** Settles with the end: rejects with PRODUCER_FENCED if another process has taken over, or with what went wrong. */
  readonly done: Promise<void>
  health(): ProcessorHealth
}

/** A processor; nothing happens before `start`. The protocol: docs/design/stream-handover.md. */
export function createProcessor(options: ProcessorOptions): Processor {
  const { region, broker, inputTopic, stateTopic, clock, decisions, timers = systemTimers } = options
  const { commitIntervalMs = 100, maxPendingBytes = 4 << 20, replayId = '' } = options
  const state = newProcessorState(region)
  const postponed: Postponed = new Map()
  const counters = { processed: 0, passedBy: 0, commits: 0, handedOver: 0, takenOver: 0, ticks: 0 }
  const flags = { stopped: false, running: false, dirty: false, decisionsKnown: false, outputs: 0 }
  const transactionalId = `forestall.processor.${stateTopic}.${region}`
  const producer = broker.transactionalProducer({
    transactionalId,
    transactionTimeoutMs: options.transactionTimeoutMs ?? 10_000,
  })
  const ended = Promise.withResolvers<void>()
  ended.promise.catch(() => {}) // Whoever only awaits `stop` must not crash.
  /** Readers opened so far, to be closed; the last one of each kind is the present one. */
  const readers = new Set<PartitionReader>()
  let inputReader: PartitionReader | null = null
  let queue: Promise<unknown> = Promise.resolve()
  let timer: TimerHandle | null = null
  const stateKnown = Promise.withResolvers<void>()

  const warn = (error: Error): void => options.onWarning?.(error)

  /** Everything that reads or changes the state takes its turn: batches, tokens, decisions, commits. */
  function inTurn(work: () => Promise<void>): Promise<void> {
    const turn = queue.then(() => (flags.stopped ? undefined : work()))
    queue = turn.catch(fail)
    return turn
  }

  function fail(error: unknown): void {
    if (flags.stopped) return
    flags.stopped = true
    ended.reject(error)
    void close()
  }

  async function close(): Promise<void> {
    timer?.cancel()
    const open = [...readers]
    readers.clear()
    await Promise.allSettled([...open.map((r) => r.close()), decisions.stop(), producer.close()])
    flags.running = false
  }

  const emit: Emit = (topic, partition, timestampMs, key, value, headers) => {
    flags.outputs++
    producer.add(topic, partition, timestampMs, key, value, headers)
  }

  async function take(cursor: RecordCursor): Promise<void> {
    const { partition } = cursor
    while (cursor.next()) {
      const found = options.streamOf(cursor)
      const stream = found instanceof Promise ? await found : found
      if (stream === null || !isMine(state, stream, partition, cursor.offset)) {
        counters.passedBy++
        continue
      }
      const done = options.process(cursor, stream, emit)
      if (done !== undefined) await done
      counters.processed++
    }
    advance(state, partition, cursor.nextOffset)
    flags.dirty = true
    if (producer.pendingBytes > maxPendingBytes) await commit()
  }

  async function reports(next: Plan): Promise<[string, Uint8Array][]> {
    const { acks } = options
    if (acks === undefined) return []
    const context: AckContext = { decisionTopic: decisions.topic, inputTopic, region, atMs: clock.nowMs() }
    const made = [
      ...next.released.filter(isReported).map((token) => stoppedAck(token, context)),
      ...next.started.filter(isReported).map((token) => startedAck(token, context)),
    ]
    return Promise.all(made.map(async (ack) => [ack.entity, await acks.encode(ack)] as [string, Uint8Array]))
  }

  /** One transaction: the outputs so far, the positions, the tokens that change hands, their reports. */
  async function commit(): Promise<void> {
    heedDue(state, postponed, clock.nowMs())
    const next = flags.decisionsKnown ? plan(state) : null
    if (next === null && !flags.dirty) return
    const atMs = clock.nowMs()
    const tokens = next === null ? [] : [...next.released, ...next.started]
    for (const [entity, value] of next === null ? [] : await reports(next)) {
      producer.add(options.acks?.topic ?? '', 0, atMs, Buffer.from(entity), value)
    }
    for (const token of tokens) producer.add(stateTopic, 0, atMs, ...encodeEntry({ kind: 'token', token }))
    const { round, progress } = next ?? state
    producer.add(stateTopic, 0, atMs, ...encodeEntry({ kind: 'region', region, round, progress }))
    await producer.commit()
    counters.commits++
    Object.assign(flags, { dirty: false, outputs: 0 })
    if (next === null) return
    const isBack = [...next.progress].some(([p, at]) => at.position !== state.progress.get(p)?.position)
    enact(state, next)
    counters.handedOver += next.released.length
    counters.takenOver += next.started.length
    if (isBack) await openInput()
    // What was released while others waited may let them start now.
    await commit()
  }

  /** Positions alone are not worth a transaction each time: what is read again is passed by again. */
  async function tick(): Promise<void> {
    counters.ticks++
    const isDue = flags.outputs > 0 || postponed.size > 0 || counters.ticks % POSITIONS_EVERY === 0
    if (isDue || plan(state) !== null) await commit()
  }

  function schedule(): void {
    timer = timers.after(commitIntervalMs, () => {
      inTurn(tick).then(schedule, () => undefined)
    })
  }

  function read(
    from: (TopicPartition & { from: number })[],
    onBatch: (cursor: RecordCursor, own: PartitionReader | null) => Promise<void>,
  ): PartitionReader {
    let own: PartitionReader | null = null
    const reader = broker.readPartitions({
      partitions: from,
      onBatch: (cursor) => inTurn(() => onBatch(cursor, own)),
    })
    own = reader
    readers.add(reader)
    reader.done.catch((e: unknown) => {
      if (readers.has(reader)) fail(e)
    })
    return reader
  }

  /** Reads the input from the positions; an older reader is left behind: what it still hands out is dropped. */
  async function openInput(): Promise<void> {
    const before = inputReader
    if (before !== null) {
      readers.delete(before)
      before.close().catch(warn)
    }
    for (const error of await skipRemoved(broker, inputTopic, state)) warn(error)
    inputReader = read(
      [...state.progress].map(([partition, p]) => ({ topic: inputTopic, partition, from: p.position })),
      async (cursor, own) => {
        if (own === inputReader) await take(cursor)
      },
    )
  }

  function followState(from: number): void {
    read([{ topic: stateTopic, partition: 0, from }], async (cursor) => {
      while (cursor.next()) {
        const { buffer, valueStart, valueLength } = cursor
        if (valueLength < 0) continue
        const entry = decodeEntry(buffer.subarray(valueStart, valueStart + valueLength))
        // Its own positions are known better here than in the log.
        if (entry.kind === 'token') learnEntry(state, entry)
      }
      if (state.tokens.has(ALL_STREAMS)) stateKnown.resolve()
      if (flags.running && plan(state) !== null) await commit()
    })
  }

  function followDecisions(): Promise<void> {
    const caughtUp = Promise.withResolvers<void>()
    decisions.start({
      onDecision: (event) =>
        inTurn(async () => {
          const no = event.decision === null ? null : objection(event.decision, { ...options, replayId })
          if (no?.reject === true) {
            warn(new ForestallError('POLICY_CONTRADICTS', `Decision about ${event.entity}: ${no.reason}.`))
          }
          if (no !== null) return
          heed(state, postponed, event, clock.nowMs())
          if (flags.decisionsKnown && plan(state) !== null) await commit()
        }),
      onCaughtUp: () =>
        inTurn(async () => {
          flags.decisionsKnown = true
          caughtUp.resolve()
        }),
      onError: warn,
    })
    return caughtUp.promise
  }

  async function recover(): Promise<void> {
    await producer.init()
    const next = await recoverState(broker, stateTopic, state)
    if (!state.tokens.has(ALL_STREAMS) && region === options.defaultRegion) {
      const token = firstToken(region)
      producer.add(stateTopic, 0, clock.nowMs(), ...encodeEntry({ kind: 'token', token }))
      await producer.commit()
      learnEntry(state, { kind: 'token', token })
    }
    followState(next)
    if (state.tokens.has(ALL_STREAMS)) stateKnown.resolve()
    await Promise.race([stateKnown.promise, ended.promise])
    if (await addNewPartitions(broker, inputTopic, state)) flags.dirty = true
    await Promise.race([followDecisions(), ended.promise])
    await inTurn(openInput)
    flags.running = true
    await inTurn(commit)
    schedule()
  }

  return {
    async start() {
      if (flags.stopped || flags.running) return
      try {
        await recover()
      } catch (e) {
        fail(e)
        throw e
      }
    },
    async stop() {
      if (flags.stopped) return
      if (flags.running) await inTurn(commit).catch(() => undefined)
      flags.stopped = true
      await queue
      await close()
      ended.resolve()
    },
    done: ended.promise,
    health: () => ({
      running: flags.running,
      catchingUp: isCatchingUp(state),
      processed: counters.processed,
      passedBy: counters.passedBy,
      commits: counters.commits,
      handedOver: counters.handedOver,
      takenOver: counters.takenOver,
      positions: Object.fromEntries([...state.progress].map(([p, at]) => [p, at.position])),
    }),
  }
}
