import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { createCodec } from '#core/codec'
import { nearestRank, sorted, type Target } from '#core/evaluation'
import type { Broker } from '#core/ports'
import {
  differences,
  type PeerOptions,
  readWindows,
  runPeer,
  type Windows,
} from '../../test/bench/peers/kafka-streams/peer.ts'
import { benchBroker, prepareInput, withKafka } from './windows-broker.ts'
import { fixedRegistry, type InputSpec, schemaIdOf } from './windows-input.ts'
import { type OursResult, type Span, spawnOurs } from './windows-ours.ts'
import { GRACE_MS } from './windows-topology.ts'

const WINDOW_MS = 10_000
const WARMUP_SHARE = 0.25

/** A way to run Kafka Streams, and the least by which we mean to be faster at the same guarantees. */
interface Setting {
  readonly name: string
  readonly commitMs: number
  readonly peer: Pick<PeerOptions, 'store' | 'cacheMb' | 'results'>
  readonly target: number
}

const SETTINGS: readonly Setting[] = [
  {
    name: 'RocksDB, commits every 100 ms, suppress',
    commitMs: 100,
    peer: { store: 'rocksdb', cacheMb: 64, results: 'suppress' },
    target: 5,
  },
  {
    name: 'in memory, commits every 1 s, cache',
    commitMs: 1000,
    peer: { store: 'memory', cacheMb: 64, results: 'window-close' },
    target: 3,
  },
]

/** One side at one setting: medians over the runs. */
export interface SideFigures {
  readonly recordsPerSecond: number
  readonly runs: readonly number[]
  /** After the first quarter of the records: compilers have done their work. */
  readonly warmRecordsPerSecond: number
  /** Processor seconds of the process (without the broker) per million records. */
  readonly cpuSecondsPerMillion: number
}

/** One setting. */
export interface SettingFigures {
  readonly setting: string
  readonly ours: SideFigures
  readonly peer: SideFigures
  readonly ratio: number
  readonly warmRatio: number
  /** Final windows compared value by value, per run; none may differ. */
  readonly windows: number
  readonly differences: number
}

/** What `npm run bench -- windows` prints last. `figure`, `peer` and `ratio` are those of the first setting. */
export interface WindowsBench {
  readonly case: 'windows'
  readonly figure: number
  readonly unit: 'records/s'
  readonly peer: { readonly name: string; readonly figure: number }
  readonly ratio: number
  readonly runs: readonly number[]
  readonly settings: readonly SettingFigures[]
  readonly input: InputSpec
  readonly targets: readonly Target[]
}

/** What to run. */
export interface WindowsOptions {
  readonly brokers: string
  readonly records: number
  readonly keys: number
  readonly runs: number
  /** Stream threads of the peer. */
  readonly peerThreads: number
  readonly print: (line: string) => void
}

const median = (values: readonly number[]): number => nearestRank(sorted(values), 0.5)
const rate = (span: Span): number => span.records / span.seconds

function figuresOf(results: readonly (Span & { readonly warm: Span })[]): SideFigures {
  return {
    recordsPerSecond: median(results.map(rate)),
    runs: results.map(rate),
    warmRecordsPerSecond: median(results.map(({ warm }) => rate(warm))),
    cpuSecondsPerMillion: median(results.map((r) => (r.cpuSeconds / r.records) * 1e6)),
  }
}

interface Bench extends WindowsOptions {
  readonly broker: Broker
  readonly input: InputSpec
}

/** Topic for the output of one run. */
async function outputTopic({ broker, input }: Bench): Promise<string> {
  const name = `bench-${randomBytes(5).toString('hex')}`
  const admin = broker.admin()
  await admin.ensureTopics([{ name, partitions: input.partitions }])
  await admin.close()
  return name
}

async function ourRun(bench: Bench, setting: Setting, output: string): Promise<OursResult> {
  const { brokers, input } = bench
  return spawnOurs({
    broker: brokers,
    input: input.topic,
    output,
    partitions: input.partitions,
    commitMs: setting.commitMs,
    name: `${output}.topology`,
    warmupShare: WARMUP_SHARE,
    windowMs: WINDOW_MS,
  })
}

async function peerRun(bench: Bench, setting: Setting, output: string) {
  return runPeer({
    bootstrapBrokers: bench.brokers,
    applicationId: `${output}-app`,
    threads: bench.peerThreads,
    commitMs: setting.commitMs,
    warmupShare: WARMUP_SHARE,
    ...setting.peer,
    lanes: [
      {
        name: 'windows',
        input: bench.input.topic,
        output,
        sizeMs: WINDOW_MS,
        advanceMs: WINDOW_MS,
        graceMs: GRACE_MS,
        outputSchemaId: schemaIdOf('StreamFeature'),
      },
    ],
  })
}

/** Reads what both have written and compares every window. */
async function compare(
  bench: Bench,
  ourOutput: string,
  peerOutput: string,
): Promise<{ windows: number; different: readonly string[] }> {
  const codec = createCodec(fixedRegistry())
  const read = (topic: string): Promise<Windows> => readWindows(bench.broker, codec, topic)
  const [ours, peers] = [await read(ourOutput), await read(peerOutput)]
  return { windows: ours.rows.size, different: differences(ours, peers) }
}

async function runSetting(bench: Bench, setting: Setting): Promise<SettingFigures> {
  const { print } = bench
  print(`\n${setting.name}`)
  const ours: OursResult[] = []
  const peers: Awaited<ReturnType<typeof peerRun>>[] = []
  const compared: Awaited<ReturnType<typeof compare>>[] = []
  for (let run = 0; run < bench.runs; run++) {
    const [ourOutput, peerOutput] = [await outputTopic(bench), await outputTopic(bench)]
    const our = await ourRun(bench, setting, ourOutput)
    const peer = await peerRun(bench, setting, peerOutput)
    const { windows, different } = await compare(bench, ourOutput, peerOutput)
    ours.push(our)
    peers.push(peer)
    compared.push({ windows, different })
    print(
      `  run ${run + 1}: ours ${Math.round(rate(our))} records/s (${((our.cpuSeconds / our.records) * 1e6).toFixed(2)} CPU s per million), ` +
        `Kafka Streams ${Math.round(rate(peer))} (${((peer.cpuSeconds / peer.records) * 1e6).toFixed(2)}); ${windows} windows, ${different.length} differ`,
    )
    for (const line of different.slice(0, 3)) print(`    ${line}`)
  }
  const figures = { ours: figuresOf(ours), peer: figuresOf(peers) }
  return {
    setting: setting.name,
    ...figures,
    ratio: figures.ours.recordsPerSecond / figures.peer.recordsPerSecond,
    warmRatio: figures.ours.warmRecordsPerSecond / figures.peer.warmRecordsPerSecond,
    windows: compared[0]?.windows ?? 0,
    differences: compared.reduce((sum, { different }) => sum + different.length, 0),
  }
}

/** Runs both sides alternating over one input. */
export async function benchWindows(options: WindowsOptions): Promise<WindowsBench> {
  const { records, keys, runs, print } = options
  const input: InputSpec = {
    topic: `bench-${randomBytes(5).toString('hex')}.flows`,
    partitions: 6,
    records,
    keys,
    eventsPerSecond: 50_000,
    jitterMs: 2000,
    seed: 1,
  }
  const broker = benchBroker(options.brokers)
  try {
    const seconds = await prepareInput(broker, input)
    print(
      `loaded ${records} records of ${keys} keys in ${input.partitions} partitions in ${seconds.toFixed(1)} s; ${runs} runs of each side, alternating`,
    )
    const settings: SettingFigures[] = []
    for (const setting of SETTINGS) settings.push(await runSetting({ ...options, broker, input }, setting))
    return report(settings, input)
  } finally {
    await broker.close()
  }
}

function report(settings: readonly SettingFigures[], input: InputSpec): WindowsBench {
  const [main] = settings as [SettingFigures]
  return {
    case: 'windows',
    figure: main.ours.recordsPerSecond,
    unit: 'records/s',
    peer: {
      name: `Kafka Streams 4.3.1, exactly_once_v2, ${main.setting}`,
      figure: main.peer.recordsPerSecond,
    },
    ratio: main.ratio,
    runs: main.ours.runs,
    settings,
    input,
    targets: [
      ...settings.map(({ setting, ratio }, i) => {
        const { target } = SETTINGS[i] as Setting
        return { name: `times Kafka Streams, ${setting}`, value: ratio, target, met: ratio >= target }
      }),
      {
        name: 'windows that differ',
        value: settings.reduce((sum, s) => sum + s.differences, 0),
        target: 0,
        met: settings.every((s) => s.differences === 0),
      },
    ],
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      short: { type: 'boolean', default: false },
      records: { type: 'string' },
      keys: { type: 'string', default: '10000' },
      runs: { type: 'string' },
      'peer-threads': { type: 'string', default: '2' },
      brokers: { type: 'string' },
    },
  })
  const result = await withKafka(values.brokers, (brokers) =>
    benchWindows({
      brokers,
      records: Number(values.records ?? (values.short ? 2_000_000 : 3_000_000)),
      keys: Number(values.keys),
      runs: Number(values.runs ?? (values.short ? 1 : 5)),
      peerThreads: Number(values['peer-threads']),
      print: (line) => console.log(line),
    }),
  )
  for (const { name, value, target, met } of result.targets)
    console.log(`${met ? 'met   ' : 'missed'}  ${name}: ${Number(value.toPrecision(4))} (target ${target})`)
  console.log(JSON.stringify(result))
}
