import { parseArgs } from 'node:util'
import { atMost, nearestRank, sorted, type Target } from '#core/evaluation'
import { type Contender, findChproxy, startChproxy, startRouter } from './router-contenders.ts'
import { type BenchInstances, startBenchInstances } from './router-instances.ts'
import { drain, runClosedLoad, runOpenLoad } from './router-load.ts'

const INSTANCES = 5
/** One of five is slowed: 20 %. */
const SLOW_MS = 250
const PER_SECOND = 40
const WARM_UP_TURNS = 3
/** Requests before throughput is measured: one contender is compiled ahead, the others while they run. */
const WARM_UP_REQUESTS = 2000
const GIB = 2 ** 30

/** What `npm run bench -- router` prints last. */
interface RouterBench {
  readonly case: 'router'
  readonly figure: number
  readonly unit: 'ms (p99.9)'
  readonly peer: string
  readonly ratio: number | null
  readonly runs: Readonly<Record<string, readonly number[]>>
  readonly targets: readonly Target[]
  readonly skipped: string | null
}

interface Quantiles {
  readonly p50: number
  readonly p99: number
  readonly p999: number
  readonly failures: number
  readonly count: number
}

function quantiles(latencies: readonly number[]): Quantiles {
  const ranked = sorted(latencies)
  return {
    p50: nearestRank(ranked, 0.5),
    p99: nearestRank(ranked, 0.99),
    p999: nearestRank(ranked, 0.999),
    failures: latencies.filter((ms) => ms === Infinity).length,
    count: latencies.length,
  }
}

const queryOf =
  (table: string) =>
  (i: number): string =>
    `SELECT count(), sum(v) FROM ${table} WHERE k = 'k${(i * 7919) % 1000}'`

/**
 * The contenders take turns of a second each, in another order each time, so that whatever else the machine does falls on
 * all alike; each round another instance is slowed. The first turns of a round let everybody notice and do not count.
 */
async function measureLatency(
  contenders: readonly Contender[],
  instances: BenchInstances,
  rounds: number,
  seconds: number,
): Promise<Map<string, number[]>> {
  const all = new Map<string, number[]>(contenders.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    const slow = instances.list[(2 * round + 1) % INSTANCES]
    slow?.setDelay(SLOW_MS)
    for (let turn = -WARM_UP_TURNS; turn < seconds; turn++) {
      for (let i = 0; i < contenders.length; i++) {
        const { name, url } = contenders[(i + turn + WARM_UP_TURNS) % contenders.length] as Contender
        const load = { url, perSecond: PER_SECOND, seconds: 1, queryOf: queryOf(instances.table) }
        const latencies = await runOpenLoad(load)
        if (turn >= 0) all.get(name)?.push(...latencies)
      }
    }
    slow?.setDelay(0)
  }
  return all
}

/** Requests per second of CPU time, which is the throughput on one core; the contenders take turns once they are warm. */
async function measureThroughput(
  contenders: readonly Contender[],
  instances: BenchInstances,
  rounds: number,
  count: number,
): Promise<Map<string, number[]>> {
  const all = new Map<string, number[]>(contenders.map(({ name }) => [name, []]))
  for (const { url } of contenders) await runClosedLoad(url, 16, WARM_UP_REQUESTS, queryOf(instances.table))
  for (let round = 0; round < rounds; round++) {
    for (const contender of contenders) {
      const before = await contender.usage()
      const failures = await runClosedLoad(contender.url, 16, count, queryOf(instances.table))
      const after = await contender.usage()
      const perS = (count / (after.cpuMs - before.cpuMs)) * 1000
      all.get(contender.name)?.push(failures === 0 ? perS : 0)
    }
  }
  return all
}

/** How the memory of a router grew while it passed on a large answer, bytes. */
interface StreamGrowth {
  readonly bytes: number
  /** Highest memory over that before. */
  readonly grownBytes: number
  /** Highest memory of the second half over that of the first: nothing piles up if this is nothing. */
  readonly laterBytes: number
  readonly seconds: number
}

/** Passes a large answer on to a client that keeps up; the memory of the router is looked at every 50 ms. */
async function measureStream(router: Contender, bytes: number): Promise<StreamGrowth> {
  const answer = (rows: number): string => `SELECT repeat('x', 1022) FROM numbers(${rows}) FORMAT RowBinary`
  await drain(router.url, answer(20_000))
  const before = (await router.usage()).rssBytes
  const highest = [before, before]
  const state = { isOver: false, received: 0 }
  const began = performance.now()
  const watching = (async () => {
    while (!state.isOver) {
      const half = state.received < bytes / 2 ? 0 : 1
      highest[half] = Math.max(highest[half] ?? 0, (await router.usage()).rssBytes)
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  })()
  const received = await drain(router.url, answer(Math.ceil(bytes / 1024)), (sum) => {
    state.received = sum
  })
  state.isOver = true
  await watching
  if (received < bytes) throw new Error(`Only ${received} of ${bytes} bytes came`)
  const [first = 0, second = 0] = highest
  return {
    bytes: received,
    grownBytes: Math.max(first, second) - before,
    laterBytes: Math.max(0, second - first),
    seconds: (performance.now() - began) / 1000,
  }
}

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: GIB,
}

/** Bytes of `1GB`, `128MiB` or a number. Throws RangeError for anything else. */
function parseBytes(text: string): number {
  const [, count = '', unit = ''] = /^(\d+(?:\.\d+)?) ?([kmg]i?b)?$/i.exec(text) ?? []
  const bytes = Number(count) * (UNITS[unit.toUpperCase()] ?? Number.NaN)
  if (!(bytes >= 1)) throw new RangeError(`--stream-bytes ${text} is no size such as 1GB.`)
  return Math.round(bytes)
}

const median = (values: readonly number[]): number => nearestRank(sorted(values), 0.5)
const show = (ms: number): string => ms.toFixed(1).padStart(8)

const print = (line: string): void => console.log(line)

function printStream({ bytes, grownBytes, laterBytes, seconds }: StreamGrowth): void {
  const mib = (value: number): string => (value / 2 ** 20).toFixed(0)
  print(
    `an answer of ${mib(bytes)} MiB: memory of the router grew by ${mib(grownBytes)} MiB, by ${mib(laterBytes)} MiB of it in the second half, in ${seconds.toFixed(1)} s`,
  )
}

/** Only the large answer, before one instance. */
async function runStream(bytes: number): Promise<object> {
  const instances = await startBenchInstances(1)
  try {
    const list = instances.list.map(({ name, url }) => ({ name, url }))
    const settings = { instances: list, table: instances.table, picker: 'adaptive', hedge: false } as const
    const ours = await startRouter('ours', settings)
    try {
      const stream = await measureStream(ours, bytes)
      printStream(stream)
      const target = streamTarget(stream)
      return { case: 'router', figure: target.value, unit: 'MiB', targets: [target], stream, skipped: null }
    } finally {
      await ours.stop()
    }
  } finally {
    await instances.stop()
  }
}

const streamTarget = ({ grownBytes }: StreamGrowth): Target =>
  atMost('memory growth of a large answer, MiB', grownBytes / 2 ** 20, 64)

async function run(isShort: boolean): Promise<RouterBench> {
  const [rounds, seconds] = isShort ? [1, 15] : [3, 30]
  const chproxy = await findChproxy()
  if ('missing' in chproxy) print(`chproxy is left out: ${chproxy.missing}`)
  const instances = await startBenchInstances(INSTANCES)
  const contenders: Contender[] = []
  try {
    const list = instances.list.map(({ name, url }) => ({ name, url }))
    const settings = { instances: list, table: instances.table }
    const ours = await startRouter('ours', { ...settings, picker: 'adaptive', hedge: false })
    contenders.push(ours)
    contenders.push(await startRouter('ours, hedged', { ...settings, picker: 'adaptive', hedge: true }))
    contenders.push(await startRouter('two choices', { ...settings, picker: 'two-choices', hedge: false }))
    if ('path' in chproxy) {
      const port = 20_000 + (process.pid % 20_000)
      contenders.push(
        await startChproxy(
          chproxy.path,
          list.map(({ url }) => url),
          port,
        ),
      )
    }
    print(
      `${INSTANCES} embedded ClickHouse processes, each behind a relay; one of them answers ${SLOW_MS} ms late`,
    )
    for (const { url } of contenders) await runClosedLoad(url, 8, 300, queryOf(instances.table))

    const latency = await measureLatency(contenders, instances, rounds, seconds)
    const found = new Map([...latency].map(([name, all]) => [name, quantiles(all)]))
    print(`latency at ${PER_SECOND}/s, ${rounds} x ${seconds} s each: p50, p99, p99.9 ms, failures`)
    for (const [name, q] of found)
      print(`  ${name.padEnd(14)}${show(q.p50)}${show(q.p99)}${show(q.p999)}  ${q.failures} of ${q.count}`)

    const throughput = await measureThroughput(
      contenders.filter(({ name }) => name === 'ours' || name === 'chproxy' || !isShort),
      instances,
      isShort ? 3 : 5,
      isShort ? 1000 : 3000,
    )
    print(
      `requests per second of CPU time (one core), median of runs, after ${WARM_UP_REQUESTS} to each that do not count:`,
    )
    for (const [name, perS] of throughput) print(`  ${name.padEnd(14)}${show(median(perS))}`)

    const stream = await measureStream(ours, isShort ? GIB / 8 : GIB)
    printStream(stream)
    return report(found, throughput, stream, 'missing' in chproxy ? chproxy.missing : null)
  } finally {
    await Promise.all(contenders.map((c) => c.stop()))
    await instances.stop()
  }
}

function report(
  found: ReadonlyMap<string, Quantiles>,
  throughput: ReadonlyMap<string, number[]>,
  stream: StreamGrowth,
  skipped: string | null,
): RouterBench {
  const p999 = (name: string): number => found.get(name)?.p999 ?? NaN
  const own = p999('ours, hedged')
  const atLeast = (name: string, value: number, target: number): Target => ({
    name,
    value,
    target,
    met: value >= target,
  })
  const targets = [
    atLeast('p99.9 of two choices over ours', p999('two choices') / p999('ours'), 1.2),
    atLeast('p99.9 of two choices over ours, hedged', p999('two choices') / own, 1.2),
    streamTarget(stream),
  ]
  if (skipped === null) {
    const ratio = median(throughput.get('ours') ?? []) / median(throughput.get('chproxy') ?? [])
    targets.unshift(
      atLeast('p99.9 of chproxy over ours', p999('chproxy') / p999('ours'), 3),
      atLeast('p99.9 of chproxy over ours, hedged', p999('chproxy') / own, 3),
      atLeast('throughput on one core over chproxy', ratio, 0.7),
    )
  }
  for (const { name, value, target, met } of targets)
    console.log(`${met ? 'met   ' : 'MISSED'} ${name}: ${value.toFixed(2)} (${target})`)
  return {
    case: 'router',
    figure: own,
    unit: 'ms (p99.9)',
    peer: skipped === null ? 'chproxy' : 'two choices',
    ratio: skipped === null ? p999('chproxy') / own : p999('two choices') / own,
    runs: Object.fromEntries(throughput),
    targets,
    skipped,
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: { short: { type: 'boolean', default: false }, 'stream-bytes': { type: 'string' } },
  })
  const streamBytes = values['stream-bytes']
  const result = streamBytes === undefined ? run(values.short) : runStream(parseBytes(streamBytes))
  console.log(JSON.stringify(await result))
}
