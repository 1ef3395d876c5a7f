import { afterEach, expect, inject, test } from 'vitest'
import { isError, type Broker } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { createRegistryClient, startRegistry, type Registry } from '#infra/registry'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'

failOnLeaks()

const open: { stop(): Promise<void> }[] = []
afterEach(async () => {
  for (const it of open.splice(0).toReversed()) await it.stop()
})

async function start(topic: string): Promise<Registry> {
  const broker: Broker = createBroker({
    bootstrapBrokers: inject('kafkaBrokers').split(','),
    clientId: 'test',
  })
  open.push({ stop: () => broker.close() })
  const registry = await startRegistry({ broker, topic })
  open.push(registry)
  return registry
}

const schema = (i: number) => JSON.stringify({ type: 'fixed', name: `F${i}`, size: i })

test('of two registries on one topic the newer knows all that the older was told, and only it may write', async () => {
  const topic = uniqueName('schemas')
  const older = createRegistryClient({ url: (await start(topic)).url })
  const ids: number[] = []
  for (let i = 1; i <= 5; i++)
    ids.push(await older.register('s', schema(1)), await older.register(`s${i}`, schema(i)))
  const newer = createRegistryClient({ url: (await start(topic)).url })

  const refused = await older.register('late', schema(99)).catch((error: unknown) => error)
  expect(isError(refused, 'REGISTRY_FAILED')).toBe(true)
  expect((refused as Error).message).toContain('Another registry has taken over')
  const again: number[] = []
  for (let i = 1; i <= 5; i++)
    again.push(await newer.register('s', schema(1)), await newer.register(`s${i}`, schema(i)))
  expect(again).toEqual(ids)
  expect(await newer.register('new', schema(50))).toBe(Math.max(...ids) + 1)
  expect(await older.schemaById(1)).toBe(schema(1))
})
