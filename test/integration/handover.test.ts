import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import type { Ack } from '#schemas'
import { type Broker, mulberry32, partitionKey, systemClock } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'
import {
  createTopics,
  faultsOf,
  owned,
  PARTITIONS,
  readAll,
  REGIONS,
  type Seen,
  type Topics,
  topicsOf,
} from '../traffic-routing/handover-bench.ts'

failOnLeaks()

const CHILD = fileURLToPath(new URL('./handover.child.ts', import.meta.url))
const STREAMS = ['s0', 's1', 's2', 's3', 's4', 's5']

let broker: Broker
beforeAll(() => {
  broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'handover' })
})
afterAll(() => broker.close())

/** The processors of all regions as processes; each is started again when it has been killed. */
interface Fleet {
  start(region: string): Promise<void>
  kill9(region: string): Promise<void>
  stop(): Promise<void>
  stderr(): string
}

function createFleet(prefix: string): Fleet {
  const children = new Map<string, ChildProcess>()
  let errors = ''
  const exit = (child: ChildProcess): Promise<void> =>
    new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) resolve()
      else child.once('exit', () => resolve())
    })
  return {
    async start(region) {
      const child = spawn(process.execPath, [CHILD, inject('kafkaBrokers'), prefix, region], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      children.set(region, child)
      child.stderr.on('data', (chunk: Buffer) => {
        errors += `${region}: ${chunk.toString()}`
      })
      await new Promise<void>((resolve, reject) => {
        child.stdout.on('data', () => resolve())
        child.once('exit', (code) => reject(new Error(`${region} ended with ${code}: ${errors}`)))
      })
    },
    async kill9(region) {
      const child = children.get(region)
      child?.kill('SIGKILL')
      if (child !== undefined) await exit(child)
    },
    async stop() {
      for (const child of children.values()) child.kill('SIGTERM')
      await Promise.all([...children.values()].map(exit))
    },
    stderr: () => errors,
  }
}

function write(topic: string, rows: [key: string, value: string | null, partition: number][]): Promise<void> {
  const producer = broker.producer()
  for (const [key, value, partition] of rows) {
    const bytes = value === null ? null : Buffer.from(value)
    producer.add(topic, partition, systemClock.nowMs(), Buffer.from(key), bytes)
  }
  return producer.flush().then(() => producer.close())
}

/** Waits until every input partition has been read to its end by every region, which its committed positions say. */
async function passed(topics: Topics): Promise<void> {
  const admin = broker.admin()
  const inputs = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: topics.input, partition }))
  const ends = await admin.offsets(inputs, 'stable')
  await admin.close()
  await until(
    async () => {
      const last = new Map((await readAll(broker, topics.state, 1)).map((s) => [s.key, s.value]))
      return REGIONS.every((region) => {
        const state = JSON.parse(last.get(`region/${region}`) ?? '{}') as { partitions?: number[][] }
        return (
          state.partitions?.every(
            ([p = 0, position = 0]) => position >= (ends.get(partitionKey(topics.input, p)) ?? 0),
          ) === true
        )
      })
    },
    { timeoutMs: 60_000, everyMs: 200, what: 'every region at the end of the input' },
  )
}

test('each of 20,000 records is processed once by one region, through kill -9 and quick handovers', async () => {
  const prefix = uniqueName('handover')
  const topics = topicsOf(prefix)
  await createTopics(broker, topics)
  const fleet = createFleet(prefix)
  const random = mulberry32(7)
  const pick = <T>(from: readonly T[]): T => from[random.uint32() % from.length] as T
  const input: string[] = []
  try {
    await Promise.all(REGIONS.map((region) => fleet.start(region)))
    for (let step = 0; step < 100; step++) {
      const rows = Array.from({ length: 200 }, (): [string, string, number] => {
        input.push(`${pick(STREAMS)}/${input.length}`)
        return ['k', input.at(-1) as string, random.uint32() % PARTITIONS]
      })
      await write(topics.input, rows)
      if (step % 3 === 0) {
        const stream = pick(STREAMS)
        const [first, second] = [pick(REGIONS), pick(REGIONS)]
        const at = 1000 + 10 * step
        await write(topics.decisions, [
          [stream, JSON.stringify(owned(stream, first, at)), 0],
          [stream, JSON.stringify(owned(stream, second, at + 1)), 0],
        ])
      }
      if (step % 10 === 5) {
        const region = pick(REGIONS)
        await fleet.kill9(region)
        await fleet.start(region)
      }
    }
    await passed(topics)
  } finally {
    await fleet.stop()
  }
  const output: Seen[] = await readAll(broker, topics.output, PARTITIONS)
  expect(faultsOf(input, output)).toEqual([])
  expect(output).toHaveLength(input.length)
  for (const region of REGIONS) expect(output.filter((o) => o.region === region).length).toBeGreaterThan(100)
  const acks = (await readAll(broker, topics.acks, 1)).map((s) => JSON.parse(s.value) as Ack)
  const stops = acks.filter((a) => a.observed['role'] === 'stopped')
  const starts = acks.filter((a) => a.observed['role'] === 'started')
  expect(stops.length).toBeGreaterThan(10)
  for (const start of starts) {
    const stop = stops.find((s) => s.decision_id === start.decision_id)
    expect(stop?.observed[`fence:${topics.input}:0`]).toBe(start.observed[`start:${topics.input}:0`])
  }
  expect(fleet.stderr()).toBe('')
}, 180_000)
