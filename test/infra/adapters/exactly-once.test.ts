import { Buffer } from 'node:buffer'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Copier, type CopierOptions, startCopier } from '../../../infra/adapters/exactly-once.ts'
import { type Broker, isError } from '../../../pipelines/core/ports/index.ts'
import {
  createMemoryBroker,
  type MemoryBroker,
} from '../../../pipelines/core/runtime/testing/memory-broker.ts'
import { until } from '../../support/until.ts'

let broker: MemoryBroker
const running: Copier[] = []
beforeEach(async () => {
  broker = createMemoryBroker()
  await broker.admin().ensureTopics([
    { name: 'in', partitions: 2 },
    { name: 'out', partitions: 1 },
  ])
})
afterEach(async () => {
  await Promise.all(running.splice(0).map((c) => c.stop()))
  await broker.close()
})

async function send(...values: string[]): Promise<void> {
  const producer = broker.producer()
  values.forEach((value, i) => producer.add('in', i % 2, 0, null, Buffer.from(value)))
  await producer.flush()
  await producer.close()
}

async function start(options: Partial<CopierOptions> & { broker?: Broker } = {}): Promise<Copier> {
  const copier = await startCopier({
    broker,
    inputTopic: 'in',
    groupId: 'g',
    slot: '0',
    commitIntervalMs: 1,
    maxPendingBytes: 1000,
    copy: ({ buffer, valueStart, valueLength }, output) =>
      output.add('out', 0, 0, null, buffer.subarray(valueStart, valueStart + valueLength)),
    onWarning: () => undefined,
    ...options,
  })
  running.push(copier)
  return copier
}

/** What a `read_committed` reader sees of the output, sorted. */
async function output(): Promise<string[]> {
  const seen: string[] = []
  const reader = broker.readPartitions({
    partitions: [{ topic: 'out', partition: 0, from: 'earliest' }],
    until: 'stable',
    onBatch(cursor) {
      while (cursor.next()) {
        seen.push(cursor.buffer.toString('utf8', cursor.valueStart, cursor.valueStart + cursor.valueLength))
      }
    },
  })
  await reader.done
  return seen.sort()
}

const untilOutput = (count: number): Promise<boolean> =>
  until(async () => (await output()).length >= count, { what: `${count} records of output` })

describe('startCopier', () => {
  it('copies what was there before and what comes later', async () => {
    await send('a', 'b', 'c')
    const copier = await start()
    await untilOutput(3)
    await send('d')
    await untilOutput(4)
    expect(await output()).toEqual(['a', 'b', 'c', 'd'])
    expect(copier.counters.aborts).toBe(0)
    await copier.stop()
    await expect(copier.done).resolves.toBeUndefined()
  })

  it('undoes what a failure interrupted, says so, and copies it again once', async () => {
    const warnings: string[] = []
    let failures = 1
    await send('a', 'b', 'c', 'd')
    const copier = await start({
      onWarning: (error) => warnings.push(error.message),
      copy: ({ buffer, valueStart, valueLength }, out) => {
        const value = buffer.subarray(valueStart, valueStart + valueLength)
        out.add('out', 0, 0, null, value)
        if (value.toString() === 'c' && failures-- > 0) throw new Error('disk full')
      },
    })
    await untilOutput(4)
    expect(await output()).toEqual(['a', 'b', 'c', 'd'])
    expect(warnings).toEqual(['disk full'])
    expect(copier.counters.aborts).toBe(1)
  })

  it('takes over from a killed process of its slot without loss or repetition', async () => {
    const dying = broker.connect()
    await start({ broker: dying, commitIntervalMs: 3_600_000, maxPendingBytes: 1e9 })
    await send('a', 'b')
    dying.kill()
    await start()
    await send('c')
    await untilOutput(3)
    expect(await output()).toEqual(['a', 'b', 'c'])
  })

  it('ends when a newer process of its slot has taken over', async () => {
    const warnings: unknown[] = []
    const old = await start({ onWarning: (error) => warnings.push(error) })
    const fence = broker.transactionalProducer({ transactionalId: 'g-0' })
    await fence.init()
    await send('a')
    await expect(old.done).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })
    expect(warnings.some((w) => isError(w, 'PRODUCER_FENCED'))).toBe(true)
    expect(await output()).toEqual([])
  })

  it('may be stopped twice', async () => {
    const copier = await start()
    await Promise.all([copier.stop(), copier.stop()])
    await expect(copier.stop()).resolves.toBeUndefined()
  })
})
