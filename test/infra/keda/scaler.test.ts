import { credentials, status } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import { ForestallError } from '#core/ports'
import { type ExternalScaler, type ScaledMetric, type ScalerSource, startExternalScaler } from '#infra/keda'
import { scalerService } from '../../../infra/keda/scaler.ts'
import { until } from '../../support/until.ts'

type Call = (
  request: unknown,
  done: (error: { code: number; details: string } | null, answer: unknown) => void,
) => void
type Open = (request: unknown) => AsyncIterable<unknown> & { cancel(): void }

const REF = { name: 'clickhouse', namespace: 'data', scalerMetadata: { service: 'orders' } }
const ends: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** A source whose metrics the test sets, for the service `orders` only. */
function knownSource(initial: readonly ScaledMetric[] | null) {
  let metrics = initial
  const watchers = new Set<() => void>()
  const source: ScalerSource = {
    read({ metadata }) {
      if (metadata['service'] === undefined)
        throw new ForestallError('CONFIG_INVALID', 'The trigger has no metadata service.')
      if (metrics === null) throw new ForestallError('NOT_FOUND', 'No decision stands for orders.')
      return metrics
    },
    watch(_object, changed) {
      watchers.add(changed)
      return () => watchers.delete(changed)
    },
  }
  return {
    source,
    watchers,
    set(next: readonly ScaledMetric[]) {
      metrics = next
      for (const changed of watchers) changed()
    },
  }
}

async function start(
  source: ScalerSource,
): Promise<{ scaler: ExternalScaler; client: Record<string, unknown> }> {
  const scaler = await startExternalScaler({ source, port: 0 })
  const Client = scalerService()
  const client = new Client(`127.0.0.1:${scaler.port}`, credentials.createInsecure())
  ends.push(
    () => scaler.stop(),
    () => client.close(),
  )
  return { scaler, client: client as unknown as Record<string, unknown> }
}

function ask(client: Record<string, unknown>, method: string, request: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = (client[method] as Call).bind(client)
    call(request, (error, answer) => (error === null ? resolve(answer) : reject(error)))
  })
}

const instances = (value: number): ScaledMetric[] => [{ name: 'instances', value, targetPerReplica: 1 }]

describe('external scaler', () => {
  test('answers the calls of a poll with what stands', async () => {
    const { client } = await start(knownSource(instances(7)).source)
    expect(await ask(client, 'IsActive', REF)).toEqual({ result: true })
    expect(await ask(client, 'GetMetricSpec', REF)).toEqual({
      metricSpecs: [{ metricName: 'instances', targetSize: 1, targetSizeFloat: 1 }],
    })
    expect(await ask(client, 'GetMetrics', { scaledObjectRef: REF, metricName: 'instances' })).toEqual({
      metricValues: [{ metricName: 'instances', metricValue: 7, metricValueFloat: 7 }],
    })
  })

  test('rounds up what an older KEDA reads', async () => {
    const load = [{ name: 'load', value: 10.2, targetPerReplica: 2.5 }]
    const { client } = await start(knownSource(load).source)
    expect(await ask(client, 'GetMetrics', { scaledObjectRef: REF, metricName: 'load' })).toEqual({
      metricValues: [{ metricName: 'load', metricValue: 11, metricValueFloat: 10.2 }],
    })
  })

  test('counts what it was asked, and how that ended', async () => {
    const before = Date.now()
    const known = knownSource(instances(7))
    const { scaler, client } = await start(known.source)
    expect(scaler.counts()).toEqual({ answered: 0, refused: 0, streams: 0, lastCallMs: 0 })
    await ask(client, 'IsActive', REF)
    await expect(ask(client, 'IsActive', { name: 'x' })).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
    })
    const stream = (client['StreamIsActive'] as Open).call(client, REF)
    for await (const answer of stream) {
      expect(answer).toEqual({ result: true })
      break
    }
    expect(scaler.counts()).toMatchObject({ answered: 2, refused: 1 })
    expect(scaler.counts().lastCallMs).toBeGreaterThanOrEqual(before)
    stream.cancel()
    await until(() => scaler.counts().streams === 0, { what: 'the stream has closed' })
  })

  test('is inactive at zero', async () => {
    const { client } = await start(knownSource(instances(0)).source)
    expect(await ask(client, 'IsActive', REF)).toEqual({ result: false })
  })

  test('refuses with a sentence: wrong metadata, nothing known, a metric that is not there', async () => {
    const { client } = await start(knownSource(null).source)
    const code = (c: number, details: RegExp) => ({ code: c, details: expect.stringMatching(details) })
    await expect(ask(client, 'IsActive', { name: 'x' })).rejects.toMatchObject(
      code(status.INVALID_ARGUMENT, /no metadata service/),
    )
    await expect(ask(client, 'GetMetricSpec', REF)).rejects.toMatchObject(
      code(status.NOT_FOUND, /No decision/),
    )
    const known = await start(knownSource(instances(2)).source)
    const request = { scaledObjectRef: REF, metricName: 'nodes' }
    await expect(ask(known.client, 'GetMetrics', request)).rejects.toMatchObject(
      code(status.INVALID_ARGUMENT, /no metric nodes; there is instances/),
    )
  })

  test('streams say what stands at once, then each change, and nothing twice', async () => {
    const known = knownSource(instances(0))
    const { client } = await start(known.source)
    const opened = (client['StreamIsActive'] as Open).call(client, REF)
    const answers = opened[Symbol.asyncIterator]()
    expect((await answers.next()).value).toEqual({ result: false })
    known.set(instances(0))
    known.set(instances(3))
    expect((await answers.next()).value).toEqual({ result: true })
  })

  test('a stream waits for what is not known yet, and stops watching when the server stops', async () => {
    const known = knownSource(null)
    const { scaler, client } = await start(known.source)
    const answers = (client['StreamMetricSpec'] as Open).call(client, REF)[Symbol.asyncIterator]()
    const first = answers.next()
    await expect.poll(() => known.watchers.size).toBe(1)
    known.set([{ name: 'load', value: 5, targetPerReplica: 100 }])
    expect((await first).value).toEqual({
      metricSpecs: [{ metricName: 'load', targetSize: 100, targetSizeFloat: 100 }],
    })
    await scaler.stop()
    expect((await answers.next()).done).toBe(true)
    expect(known.watchers.size).toBe(0)
  })

  test('names the address that cannot be bound', async () => {
    const { scaler } = await start(knownSource(instances(1)).source)
    await expect(
      startExternalScaler({ source: knownSource(null).source, port: scaler.port }),
    ).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: expect.stringContaining(`127.0.0.1:${scaler.port}`),
    })
  })
})
