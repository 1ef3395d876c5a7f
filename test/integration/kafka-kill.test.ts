import { spawn } from 'node:child_process'
import type { ChildProcessWithoutNullStreams } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, afterEach, expect, inject, test } from 'vitest'
import { createBroker } from '#infra/kafka'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

const bootstrap = inject('kafkaBrokers').split(',')
const broker = createBroker({
  bootstrapBrokers: bootstrap,
  clientId: 'kill-test',
  batchBytes: 1000,
  compression: 'gzip',
})
const kafkajs = new Kafka({ clientId: 'kill-test', brokers: bootstrap, logLevel: logLevel.NOTHING })
const script = fileURLToPath(new URL('kafka-workers/copy.ts', import.meta.url))
const RECORDS = 4000
const PARTITIONS = 2

interface Worker {
  readonly process: ChildProcessWithoutNullStreams
  readonly lines: string[]
  said(start: string): Promise<string>
  gone(): Promise<unknown>
}
const workers: Worker[] = []

function startWorker(source: string, target: string, slot: string, hangAt: number): Worker {
  const child = spawn(process.execPath, [script, bootstrap[0] ?? '', source, target, slot, String(hangAt)])
  const lines: string[] = []
  createInterface({ input: child.stdout }).on('line', (line) => lines.push(line))
  createInterface({ input: child.stderr }).on('line', (line) => lines.push(`stderr ${line}`))
  const exited = new Promise((resolve) => child.once('exit', resolve))
  const said = (start: string) =>
    until(() => lines.find((l) => l.startsWith(start)), { what: `"${start}" after ${lines.join(' | ')}` })
  const worker: Worker = {
    process: child,
    lines,
    said: (start) => said(start).then((l) => l ?? ''),
    gone: () => exited,
  }
  workers.push(worker)
  return worker
}

async function kill(worker: Worker): Promise<void> {
  worker.process.kill('SIGKILL')
  await worker.gone()
}

afterEach(async () => {
  for (const worker of workers.splice(0)) await kill(worker)
})
afterAll(() => broker.close())

async function prepare(): Promise<{ source: string; target: string }> {
  const [source, target] = [uniqueName('source'), uniqueName('target')]
  await broker.admin().ensureTopics([source, target].map((name) => ({ name, partitions: PARTITIONS })))
  const producer = broker.producer()
  for (let i = 0; i < RECORDS; i++) {
    producer.add(source, i % PARTITIONS, 1, Buffer.from(String(i)), Buffer.from(`value ${i}`))
    if (i % 40 === 0) await producer.flush() // many small batches: many transactions
  }
  await producer.close()
  return { source, target }
}

/** Waits until the source is copied to its end. */
async function copied(source: string): Promise<void> {
  const admin = broker.admin()
  const partitions = Array.from({ length: PARTITIONS }, (_, partition) => ({ topic: source, partition }))
  const ends = await admin.offsets(partitions, 'latest')
  await until(
    async () =>
      (await admin.committed(`${source}-copy`, partitions)).every(
        (c) => c.offset === ends.get(`${c.topic}:${c.partition}`),
      ),
    { timeoutMs: 30_000, what: 'the end of the source' },
  )
}

/** Counts committed records with an independent client: how often each key came, per partition in order. */
async function countWithKafkajs(topic: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  const consumer = kafkajs.consumer({ groupId: uniqueName('count'), maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  let last = performance.now()
  await consumer.run({
    eachMessage: async ({ message }) => {
      const key = message.key?.toString() ?? 'null'
      counts.set(key, (counts.get(key) ?? 0) + 1)
      last = performance.now()
    },
  })
  await until(() => counts.size === RECORDS && performance.now() - last > 500, {
    what: `all records; ${counts.size} came`,
  })
  await consumer.disconnect()
  return counts
}

const once = new Map(Array.from({ length: RECORDS }, (_, i) => [String(i), 1]))

test('a worker killed five times inside open transactions copies every record exactly once', async () => {
  const { source, target } = await prepare()
  for (let life = 1; life <= 5; life++) {
    const worker = startWorker(source, target, 'slot-0', 3 + life)
    await worker.said('open')
    await kill(worker)
  }
  startWorker(source, target, 'slot-0', 0)
  await copied(source)
  expect(await countWithKafkajs(target)).toEqual(once)
})

test('a worker frozen inside a transaction and woken after its replacement has finished changes nothing', async () => {
  const { source, target } = await prepare()
  const zombie = startWorker(source, target, 'slot-0', 4)
  await zombie.said('open')
  zombie.process.kill('SIGSTOP')
  const replacement = startWorker(source, target, 'slot-0', 0)
  await copied(source)
  zombie.process.stdin.write('go on\n')
  zombie.process.kill('SIGCONT')
  expect(await zombie.said('ended')).toMatch(/PRODUCER_FENCED|INSTANCE_FENCED/)
  expect(replacement.lines).toEqual(['assigned'])
  expect(await countWithKafkajs(target)).toEqual(once)
})
