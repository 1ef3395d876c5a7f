import { expect, test } from 'vitest'
import type { DataScaleBody } from '#schemas'
import type { Decision } from '#core/ports'
import type { DataInstance } from '../../../jobs/demo/data-instances.ts'
import { createLocalScaler } from '../../../jobs/demo/data-scale.ts'
import type { RouterInstance } from '../../../jobs/query-router-instances.ts'
import { until } from '../../support/until.ts'

const at = (name: string): DataInstance => ({ name, url: `http://${name}`, dataDir: name })

test('an instance that is wanted is started and routed to; one that is not ends once it holds nothing', async () => {
  const list = [at('i0'), at('i1')]
  const routed = ['i0', 'i1']
  const log: string[] = []
  let held = 2
  const scaler = createLocalScaler({
    service: 's',
    names: ['i0', 'i1', 'i2', 'i3'],
    instances: {
      list,
      async start(name) {
        log.push(`start ${name}`)
        list.push(at(name))
        return at(name)
      },
      async end(name) {
        log.push(`end ${name}`)
        list.splice(
          list.findIndex((it) => it.name === name),
          1,
        )
      },
      stop: async () => undefined,
    },
    router: {
      instances: () =>
        routed.map((name) => ({
          name,
          applied: { segments: () => Array.from({ length: held }) },
        })) as unknown as RouterInstance[],
      async add({ name }) {
        log.push(`add ${name}`)
        routed.push(name)
      },
      async remove(name) {
        log.push(`remove ${name}`)
        routed.splice(routed.indexOf(name), 1)
      },
    },
    onWarning: (error) => log.push(error.message),
  })
  const decide = (instances: number, service = 's') =>
    scaler.applier.apply({ body: { service, instances } } as unknown as Decision<DataScaleBody>, {
      previous: null,
      restoring: false,
    })
  expect(await decide(4)).toEqual({ instances: '4' })
  expect(log.splice(0)).toEqual(['start i2', 'add i2', 'start i3', 'add i3'])
  await expect(decide(2, 'other')).rejects.toMatchObject({ code: 'DATA_PLANE_REFUSED' })
  await decide(3)
  expect(log).toEqual([])
  held = 0
  await until(() => scaler.counts().ended === 1, { what: 'the last instance has ended' })
  expect(log).toEqual(['remove i3', 'end i3'])
  expect(list.map(({ name }) => name)).toEqual(['i0', 'i1', 'i2'])
  await scaler.stop()
})
