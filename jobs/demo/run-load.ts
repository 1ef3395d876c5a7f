import type { Flow } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { type Broker, type Clock, createPause, mulberry32, systemTimers, type Timers } from '#core/ports'
import { badRecord } from './bad-records.ts'
import { createLoad, type Load, type LoadOptions } from './load.ts'
import { createTelemetryWriter, type TelemetryWriter } from './telemetry-writer.ts'
import { createTruth, type Truth } from './truth.ts'

/** Settings of a running load. */
export interface RunLoadOptions extends LoadOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly clock: Clock
  /** Default ''. */
  readonly topicPrefix?: string
  /** Wall time between two batches, ms. Default 25. */
  readonly stepMs?: number
  /** How often the producer waits for Kafka, after which records count as written, ms. Default 250. */
  readonly ackEveryMs?: number
  /** Bad records per second; 0: none. Default 1. */
  readonly badPerSecond?: number
  /** Rows of a place to itself per second, which a topology skips; 0: none. Default 1. */
  readonly selfPairsPerSecond?: number
  /** Length of the windows of regions, for the account. Default `windowMs`. */
  readonly regionWindowMs?: number
  /** bytes/s that a region serves now, for probes and their latency; by default that of the shortest paths. */
  readonly loadOf?: (region: string) => number
  readonly timers?: Timers
  /** The producer failed: what was not acknowledged counts as unknown, and the load goes on. */
  readonly onError?: (error: Error) => void
}

/** What a load has done. */
export interface LoadTotals {
  readonly truth: Truth
  readonly elapsedMs: number
  /** Time that was left out because Kafka did not take records for long, ms. */
  readonly skippedMs: number
}

/** A load that runs. */
export interface RunningLoad {
  readonly load: Load
  /** What has been acknowledged so far. */
  readonly truth: Truth
  totals(): LoadTotals
  /** Writes what is left; then, unless told not to, end marks, after which nothing may be written to the topics. */
  stop(options?: { endMarks?: boolean }): Promise<LoadTotals>
}

/** A stretch longer than this is left out rather than made up for. */
const LONGEST_STRETCH_MS = 2000
const MOST_PENDING_BYTES = 32 << 20

/** Starts to write telemetry in step with the clock. The topics must exist. */
export async function runLoad(options: RunLoadOptions): Promise<RunningLoad> {
  const { clock, windowMs, seed, stepMs = 25, ackEveryMs = 250, timers = systemTimers } = options
  const load = createLoad(options)
  const truth = createTruth(windowMs, options.regionWindowMs)
  const writer = await createTelemetryWriter({
    broker: options.broker,
    codec: options.codec,
    topicPrefix: options.topicPrefix ?? '',
    random: mulberry32(seed),
    truth,
  })
  const write = createSliceWriter(writer, load, options)
  const pause = createPause(timers)
  const startMs = clock.nowMs()
  const state = { doneMs: startMs, ackedMs: startMs, skippedMs: 0, stopping: false }

  async function step(nowMs: number): Promise<void> {
    if (nowMs - state.doneMs > LONGEST_STRETCH_MS) {
      state.skippedMs += nowMs - stepMs - state.doneMs
      state.doneMs = nowMs - stepMs
    }
    const fromMs = state.doneMs
    state.doneMs = Math.max(fromMs, nowMs)
    write(fromMs, state.doneMs, nowMs)
    if (nowMs - state.ackedMs < ackEveryMs && writer.pendingBytes < MOST_PENDING_BYTES) return
    state.ackedMs = nowMs
    await writer.flush()
  }

  async function run(): Promise<void> {
    while (!state.stopping) {
      await pause.wait(stepMs)
      try {
        await step(clock.nowMs())
      } catch (e) {
        await writer.flush().catch(() => undefined)
        options.onError?.(e instanceof Error ? e : new Error(String(e)))
      }
    }
  }

  const totals = (): LoadTotals => ({
    truth,
    elapsedMs: state.doneMs - startMs,
    skippedMs: state.skippedMs,
  })
  const running = run()
  let stopping: Promise<LoadTotals> | null = null

  async function finish(endMarks: boolean): Promise<LoadTotals> {
    state.stopping = true
    pause.end()
    await running
    try {
      await writer.flush()
      if (endMarks) await writer.endMarks(clock.nowMs())
    } finally {
      await writer.close()
    }
    return totals()
  }

  return {
    load,
    truth,
    totals,
    stop: ({ endMarks = true } = {}) => (stopping ??= finish(endMarks)),
  }
}

/** Writes one slice: flows, probes, and what is wrong with them. */
function createSliceWriter(
  writer: TelemetryWriter,
  load: Load,
  { badPerSecond = 1, selfPairsPerSecond = 1, loadOf }: RunLoadOptions,
): (fromMs: number, toMs: number, nowMs: number) => void {
  let template: Flow | null = null
  /** Calls with the running number of each event of a rate in [fromMs, toMs). */
  const each = (perSecond: number, fromMs: number, toMs: number, event: (n: number) => void): void => {
    const end = Math.ceil((toMs * perSecond) / 1000)
    for (let n = Math.ceil((fromMs * perSecond) / 1000); n < end; n++) event(n)
  }
  return (fromMs, toMs, nowMs) => {
    load.flows(fromMs, toMs, (flow) => {
      template ??= { ...flow }
      writer.flow(flow, writer.anyPartition(), nowMs)
    })
    load.probes(fromMs, toMs, (probe) => writer.probe(probe, nowMs), loadOf)
    const sample = template
    if (sample === null) return
    const now: Flow = { ...sample, event_time_ms: nowMs }
    each(badPerSecond, fromMs, toMs, (n) => {
      const { code, value } = badRecord(n, now, writer.encodeFlow)
      writer.badFlow(value, code, nowMs)
      // Probes have fewer: one in ten, of the kind that any topology refuses.
      if (n % 10 === 0) writer.badProbe(Buffer.from('this is no Avro'), 'RECORD_UNDECODABLE', nowMs)
    })
    each(selfPairsPerSecond, fromMs, toMs, () => {
      const { src_region } = now
      const itself = { ...now, stream: `${src_region}>${src_region}`, dst_region: src_region }
      writer.flow(itself, writer.anyPartition(), nowMs)
    })
  }
}
