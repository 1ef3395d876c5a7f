import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Broker } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { startKafka } from '#infra/local'
import { deadLetterTopic } from '#schemas'
import { type InputSpec, loadInput } from './windows-input.ts'

/** A broker for the time of `work`: one of its own that is compiled for speed, or the one named. */
export async function withKafka<T>(
  brokers: string | undefined,
  work: (bootstrapBrokers: string) => Promise<T>,
): Promise<T> {
  if (brokers !== undefined) return work(brokers)
  const dataDir = mkdtempSync(join(tmpdir(), 'forestall-bench-'))
  try {
    const kafka = await startKafka({ dataDir, partsDir: join('.forestall', 'parts'), throughput: true })
    try {
      return await work(kafka.broker)
    } finally {
      await kafka.stop()
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true })
  }
}

/** Batches as Java's producers send them under load. */
const BATCH_BYTES = 65_536

/** A client of a bench. */
export const benchBroker = (bootstrapBrokers: string): Broker =>
  createBroker({ bootstrapBrokers: bootstrapBrokers.split(','), clientId: 'bench', batchBytes: BATCH_BYTES })

/** Fills an input topic, with the topics that every run beside it needs; returns the seconds it took. */
export async function prepareInput(broker: Broker, spec: InputSpec): Promise<number> {
  const admin = broker.admin()
  await admin.ensureTopics(
    [deadLetterTopic(spec.topic).name, 'audit.offsets'].map((name) => ({ name, partitions: 1 })),
  )
  await admin.close()
  const began = performance.now()
  await loadInput(broker, spec)
  return (performance.now() - began) / 1000
}
