import { expect, test } from 'vitest'
import type { DataScaleBody } from '#schemas'
import type { Decision } from '#core/ports'
import { createScaleTable } from '../../jobs/scale-table.ts'

const body: DataScaleBody = {
  service: 'orders',
  instances: 4,
  instances_now: 3,
  min_instances: 1,
  max_instances: 12,
  capacity: 250,
  peak_ms: 1000,
  load_q50: 700,
  load_q90: 900,
  load_q99: 950,
}
const decision = { entity: 'orders', body } as Decision<DataScaleBody>
const context = { previous: null, restoring: false }
const object = (metadata: Record<string, string>) => ({ name: 'o', namespace: 'n', metadata })

test('what is applied is what KEDA is told, until it is withdrawn', async () => {
  const { source, applier } = createScaleTable()
  let changes = 0
  const unwatch = source.watch(object({}), () => changes++)
  expect(() => source.read(object({ service: 'orders' }))).toThrow(
    /No decision about the instances of orders/,
  )
  await applier.apply(decision, context)
  expect(source.read(object({ service: 'orders' }))).toEqual([
    { name: 'forestall-orders-instances', value: 4, targetPerReplica: 1 },
  ])
  await applier.revert('orders')
  expect(() => source.read(object({ service: 'orders' }))).toThrow(/No decision/)
  expect(changes).toBe(2)
  unwatch()
  await applier.apply(decision, context)
  expect(changes).toBe(2)
})

test('loads are divided by the capacity of an instance, or by a target of the user', async () => {
  const { source, applier } = createScaleTable()
  await applier.apply(decision, context)
  const read = (more: Record<string, string>) => source.read(object({ service: 'orders', ...more }))[0]
  expect(read({ metric: 'load_q90' })).toMatchObject({ value: 900, targetPerReplica: 250 })
  expect(read({ metric: 'load_q99', targetPerReplica: '100' })).toMatchObject({
    value: 950,
    targetPerReplica: 100,
  })
  expect(() => read({ metric: 'load_q99', targetPerReplica: '0' })).toThrow(/targetPerReplica 0/)
  expect(() => read({ metric: 'nodes' })).toThrow(/not one of instances, load_q50/)
  expect(() => source.read(object({}))).toThrow(/name no service/)
})
