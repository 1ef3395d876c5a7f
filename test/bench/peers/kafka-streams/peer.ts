import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { AVRO } from '#schemas'
import { buildPeer, type PeerBuild } from './build.ts'

export { buildPeer, type PeerBuild } from './build.ts'
export * from './windows.ts'

/** One input topic, its windows and its output topic (both topics exist). The key of a record is its Kafka key. */
export interface PeerLane {
  /** Letters, digits, dots and dashes: names the store and its changelogs. */
  readonly name: string
  readonly input: string
  readonly output: string
  readonly sizeMs: number
  /** Equal to sizeMs: tumbling; smaller: hopping. */
  readonly advanceMs: number
  readonly graceMs: number
  /** Schema id that is written into the wire header of the output. */
  readonly outputSchemaId: number
  /** The field that is aggregated. Default `bytes`. */
  readonly value?: string
}

/** How Kafka Streams is to run. */
export interface PeerOptions {
  readonly bootstrapBrokers: string
  /** Names group, transactional ids and internal topics: a new one for every run that is to begin at the beginning. */
  readonly applicationId: string
  readonly lanes: readonly PeerLane[]
  /** Default `exactly_once_v2`. */
  readonly guarantee?: 'exactly_once_v2' | 'at_least_once'
  /** Default 1. */
  readonly threads?: number
  /** Default `rocksdb`. */
  readonly store?: 'rocksdb' | 'memory'
  /** Record cache; 0 switches caching off. Default 64. */
  readonly cacheMb?: number
  /** Default 100. */
  readonly commitMs?: number
  /**
   * Both give final results only: `suppress` through `suppress(untilWindowCloses)`, `window-close` through
   * `EmitStrategy.onWindowClose` (KIP-825). Default `suppress`.
   */
  readonly results?: 'suppress' | 'window-close'
  /** Where the stores live; a folder of its own that is removed afterwards if absent. */
  readonly stateDir?: string
  /** Static membership. */
  readonly instanceId?: string
  /** Default 45000. */
  readonly sessionTimeoutMs?: number
  /** Default 2000. */
  readonly maxPollRecords?: number
  /** Share of the records (0..1) after which the clock of `warm` starts. Default 0.25. */
  readonly warmupShare?: number
  /** Default 600000. */
  readonly giveUpAfterMs?: number
  /** Java heap. Default 1024. */
  readonly heapMb?: number
  /** Options of java beside the heap, for example `-XX:TieredStopAtLevel=1` where only the output counts. */
  readonly javaOptions?: readonly string[]
}

/** What a stretch of the run took: wall clock, and CPU of the whole JVM with its compiler and collector. */
export interface PeerSpan {
  readonly records: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly recordsPerSecond: number
}

/** A run from the first record to the commit of the last. */
export interface PeerResult extends PeerSpan {
  /** From the first commit beyond `warmupShare` of the records to the last. */
  readonly warm: PeerSpan
  /** From the start of the JVM to the first record. */
  readonly startSeconds: number
}

/** A line that the peer wrote: what happened, and when (ms since 1970). */
export interface PeerEvent {
  readonly event: 'state' | 'first-record' | 'restore-start' | 'restore-end' | 'result'
  readonly atMs: number
  /** Of `state`: CREATED, REBALANCING, RUNNING, PENDING_SHUTDOWN, NOT_RUNNING, ERROR. */
  readonly state?: string
  /** Of `restore-*`: records of the changelog. */
  readonly records?: number
}

/** A running peer. */
export interface PeerProcess {
  readonly pid: number
  readonly spawnedAtMs: number
  readonly events: readonly PeerEvent[]
  /** The next event, or one that was already told, that fulfils `is`. Rejects if the process ends before. */
  event(is: (event: PeerEvent) => boolean): Promise<PeerEvent>
  /** How it ended. */
  readonly exited: Promise<string>
  /** SIGKILL. */
  kill9(): Promise<void>
}

const ROLES = {
  stream: 'key',
  window_start_ms: 'start',
  window_end_ms: 'end',
  records: 'count',
  bytes: 'sum',
  bytes_per_second: 'squares',
  packet_bytes_p50: 'min',
  packet_bytes_p95: 'max',
} as const

/** The JSON that the peer reads from its standard input. */
function configuration(options: PeerOptions, stateDir: string, untilEnd: boolean): object {
  return {
    bootstrapBrokers: options.bootstrapBrokers,
    applicationId: options.applicationId,
    instanceId: options.instanceId ?? '',
    guarantee: options.guarantee ?? 'exactly_once_v2',
    threads: options.threads ?? 1,
    store: options.store ?? 'rocksdb',
    cacheMb: options.cacheMb ?? 64,
    commitMs: options.commitMs ?? 100,
    results: options.results ?? 'suppress',
    stateDir,
    sessionTimeoutMs: options.sessionTimeoutMs ?? 45_000,
    maxPollRecords: options.maxPollRecords ?? 2000,
    untilEnd,
    warmupShare: options.warmupShare ?? 0.25,
    giveUpAfterMs: options.giveUpAfterMs ?? 600_000,
    lanes: options.lanes.map(({ value = 'bytes', ...lane }) => ({
      ...lane,
      value,
      inputSchema: AVRO.Flow,
      eventTime: 'event_time_ms',
      outputSchema: AVRO.StreamFeature,
      roles: ROLES,
    })),
  }
}

/** Starts the peer; it runs until it is killed, unless `untilEnd` (see `runPeer`). Values of the input are `Flow`, of the output `StreamFeature`. */
export function startPeer(build: PeerBuild, options: PeerOptions, untilEnd = false): PeerProcess {
  const ownFolder = options.stateDir === undefined ? mkdtempSync(join(tmpdir(), 'kafka-streams-')) : undefined
  const spawnedAtMs = Date.now()
  const child = spawn(build.java, [
    `-Xmx${options.heapMb ?? 1024}m`,
    ...(options.javaOptions ?? []),
    '-Dorg.slf4j.simpleLogger.defaultLogLevel=error',
    '-cp',
    build.classPath,
    'forestall.peer.Peer',
  ])
  child.stdin.end(JSON.stringify(configuration(options, options.stateDir ?? ownFolder ?? '', untilEnd)))
  const events: PeerEvent[] = []
  const waiting = new Set<(event: PeerEvent) => void>()
  const errors: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => errors.push(line))
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (!line.startsWith('{')) return
    const event = JSON.parse(line) as PeerEvent
    events.push(event)
    for (const tell of waiting) tell(event)
  })
  const killWithUs = (): void => void child.kill('SIGKILL')
  process.once('exit', killWithUs)
  const exited = new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      process.off('exit', killWithUs)
      if (ownFolder !== undefined) rmSync(ownFolder, { recursive: true, force: true })
      resolve(`${signal ?? `exit code ${code}`}\n${errors.slice(-30).join('\n')}`)
    })
  })
  return {
    pid: child.pid ?? 0,
    spawnedAtMs,
    events,
    event(is) {
      const told = events.find(is)
      if (told !== undefined) return Promise.resolve(told)
      const { promise, resolve, reject } = Promise.withResolvers<PeerEvent>()
      const tell = (event: PeerEvent): void => {
        if (is(event)) resolve(event)
      }
      waiting.add(tell)
      exited.then((how) => reject(new Error(`the peer has ended: ${how}`)), reject)
      return promise.finally(() => waiting.delete(tell))
    },
    exited,
    async kill9() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Builds the peer if need be and runs it until it has committed all that the inputs hold at its start. */
export async function runPeer(options: PeerOptions): Promise<PeerResult> {
  const peer = startPeer(await buildPeer(), options, true)
  const result = (await peer.event((e) => e.event === 'result')) as PeerEvent & Spent & { warm: Spent }
  const first = await peer.event((e) => e.event === 'first-record')
  await peer.exited
  return {
    ...spanOf(result),
    warm: spanOf(result.warm),
    startSeconds: (first.atMs - peer.spawnedAtMs) / 1000,
  }
}

type Spent = Omit<PeerSpan, 'recordsPerSecond'>

const spanOf = ({ records, seconds, cpuSeconds }: Spent): PeerSpan => ({
  records,
  seconds,
  cpuSeconds,
  recordsPerSecond: records / seconds,
})
