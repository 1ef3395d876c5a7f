import { Buffer } from 'node:buffer'
import type { PipelineState } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { type Broker, type Clock, systemTimers, type TimerHandle, type Timers } from '#core/ports'

/** An instance as the router sees it now. */
export interface PipelineReport {
  readonly name: string
  readonly up: boolean
  /** Numbers of the segments that it holds. */
  readonly segments: readonly number[]
}

/** Writes the load of each instance to `telemetry.pipelines`, at a steady pace. */
export interface PipelineReporter {
  /** Counts work that an instance (by name) has done. */
  note(instance: string, work: number): void
  /** Work per second of each instance in the last whole interval, by name. */
  loads(): Readonly<Record<string, number>>
  close(): Promise<void>
}

/** What a reporter is made of. */
export interface PipelineReporterOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  /** `telemetry.pipelines` with its prefix; it exists. */
  readonly topic: string
  readonly partitions: number
  readonly service: string
  /** Work per second that one instance can do. */
  readonly capacity: number
  readonly read: () => readonly PipelineReport[]
  /** Name of a segment: `service/017`. */
  readonly segmentId: (segment: number) => string
  /** Between two reports, ms. Default 1,000. */
  readonly everyMs?: number
  readonly clock: Clock
  readonly timers?: Timers
  readonly onWarning: (error: Error) => void
}

const RECORDS = 'telemetry.pipelines'

/** A reporter; it begins at once. The record of `telemetry.pipelines` is prepared in the codec. */
export function createPipelineReporter(options: PipelineReporterOptions): PipelineReporter {
  const { codec, topic, service, capacity, clock, timers = systemTimers, everyMs = 1000, onWarning } = options
  const producer = options.broker.producer()
  let done = new Map<string, number>()
  let loads: Record<string, number> = {}
  let sinceMs = clock.nowMs()
  let timer: TimerHandle | null = null
  let turn: Promise<void> = Promise.resolve()
  let isClosed = false

  function stateOf({ name, up, segments }: PipelineReport, nowMs: number): PipelineState {
    return {
      event_time_ms: Math.round(nowMs),
      origin: 'router',
      pipeline_id: name,
      service_id: service,
      current_load: loads[name] ?? 0,
      capacity,
      up,
      shard_ids: segments.map(options.segmentId),
    }
  }

  async function send(): Promise<void> {
    const nowMs = clock.nowMs()
    const seconds = Math.max(1, nowMs - sinceMs) / 1000
    const reports = options.read()
    loads = Object.fromEntries(reports.map(({ name }) => [name, (done.get(name) ?? 0) / seconds]))
    done = new Map()
    sinceMs = nowMs
    try {
      for (const [i, report] of reports.entries()) {
        const value = codec.encode(RECORDS, 'PipelineState', stateOf(report, nowMs))
        producer.add(topic, i % options.partitions, Math.round(nowMs), Buffer.from(report.name), value)
      }
      await producer.flush()
    } catch (error) {
      onWarning(error as Error)
    }
  }

  async function beat(): Promise<void> {
    await send()
    if (!isClosed) wait()
  }

  function wait(): void {
    timer = timers.after(everyMs, () => {
      turn = beat()
    })
  }

  wait()
  return {
    note: (instance, work) => void done.set(instance, (done.get(instance) ?? 0) + work),
    loads: () => loads,
    async close() {
      if (isClosed) return
      isClosed = true
      timer?.cancel()
      await turn
      await producer.close()
    },
  }
}
