/** One router in a process of its own, for the bench: `router-process.ts <settings as JSON>`; speaks with its parent over IPC. */
import { mulberry32, type Picker } from '#core/ports'
import { startQueryRouter } from '#infra/query-router'
import {
  createExpectedWork,
  createHedgeBudget,
  createInstancePicker,
  createPlacementTable,
  createQueryPlanner,
  createStatementRouter,
  isInsertHead,
  isRowFormat,
} from '../../pipelines/data-sharding/router/index.ts'
import { plainTwoChoices } from './router-two-choices.ts'

/** Settings of the process. */
export interface RouterProcessSettings {
  readonly instances: readonly { name: string; url: string }[]
  readonly picker: 'adaptive' | 'two-choices'
  readonly hedge: boolean
  readonly table: string
}

/** What it tells when asked: CPU time since its start, and memory. */
export interface RouterProcessUsage {
  readonly cpuMs: number
  readonly rssBytes: number
  readonly counters: Readonly<Record<string, number>>
}

const SEGMENTS = 256

if (process.send !== undefined) {
  const settings = JSON.parse(process.argv[2] ?? '{}') as RouterProcessSettings
  const { instances } = settings
  const placement = createPlacementTable(
    SEGMENTS,
    instances.map((i) => i.name),
  )
  const replicas = instances.map(({ name }) => ({ instance: name, weight: 1 / instances.length }))
  for (let s = 0; s < SEGMENTS; s++) placement.set(s, replicas)
  const rules = {
    segments: SEGMENTS,
    tables: [{ database: 'default', table: settings.table, keyColumn: 'k', keyType: 'string' as const }],
    fanOut: 'refuse' as const,
    changes: 'refuse' as const,
    expressions: 'refuse' as const,
  }
  const everyone = instances.map((_, i) => i)
  const planner = createQueryPlanner(createStatementRouter(rules), placement, () => everyone, 0)
  const picker: Picker =
    settings.picker === 'adaptive'
      ? createInstancePicker(
          instances.map((i) => i.name),
          mulberry32(3),
        )
      : plainTwoChoices(instances.length, mulberry32(3))
  const noWrites = (): never => {
    throw new Error('The bench only reads')
  }
  const router = await startQueryRouter({
    instances,
    members: () => everyone,
    credentials: [],
    plan: (request) => planner.plan(request),
    isInsertHead,
    isRowFormat,
    fitsKey: () => true,
    freshness: {
      decode: noWrites,
      encode: noWrites,
      needsOf: () => new Map(),
      freshOf: (candidates) => [...candidates],
      untilFresh: async () => true,
    },
    log: { open: noWrites, change: noWrites },
    picker,
    health: () => ({}),
    expectation: createExpectedWork(),
    hedging: createHedgeBudget(),
    options: { hedge: settings.hedge },
  })
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    const usage: RouterProcessUsage = {
      cpuMs: (user + system) / 1000,
      rssBytes: process.memoryUsage.rss(),
      counters: { ...router.counters },
    }
    process.send?.(usage)
  })
  process.on('disconnect', () => process.exit(0))
  process.send({ url: router.url })
}
