import type { DataScaleBody } from '#schemas'
import { type Decision, type DecisionApplier, ForestallError } from '#core/ports'
import type { ScaledMetric, ScaledObject, ScalerSource } from '#infra/keda'

/** What stands for each service, as KEDA asks for it. */
export interface ScaleTable {
  readonly source: ScalerSource
  readonly applier: DecisionApplier<DataScaleBody>
  /** What stands. */
  bodies(): Iterable<DataScaleBody>
}

const LOADS = ['load_q50', 'load_q90', 'load_q99'] as const
type LoadMetric = (typeof LOADS)[number]
const METRICS: readonly string[] = ['instances', ...LOADS]

const isLoad = (metric: string): metric is LoadMetric => LOADS.some((load) => load === metric)

/**
 * A table that a follower fills and a scaler reads. The metadata of a trigger: `service` (required), `metric`
 * (`instances`, the default, or `load_q50`, `load_q90`, `load_q99`), and for loads `targetPerReplica` (default: the
 * capacity that the decision names).
 */
export function createScaleTable(): ScaleTable {
  const bodies = new Map<string, DataScaleBody>()
  const watchers = new Set<() => void>()
  const changed = (): void => {
    for (const watcher of watchers) watcher()
  }
  return {
    bodies: () => bodies.values(),
    source: {
      read: (object) => [metricOf(object, bodies)],
      watch(_, watcher) {
        // One function may watch several objects: each watch has an entry of its own.
        const entry = (): void => watcher()
        watchers.add(entry)
        return () => watchers.delete(entry)
      },
    },
    applier: {
      apply({ body }: Decision<DataScaleBody>) {
        bodies.set(body.service, body)
        changed()
        return Promise.resolve({ instances: String(body.instances) })
      },
      revert(entity) {
        bodies.delete(entity)
        changed()
        return Promise.resolve()
      },
    },
  }
}

function metricOf({ metadata }: ScaledObject, bodies: ReadonlyMap<string, DataScaleBody>): ScaledMetric {
  const { service, metric = 'instances' } = metadata
  if (service === undefined || service === '')
    throw new ForestallError('CONFIG_INVALID', 'The metadata of the trigger name no service.')
  if (!METRICS.includes(metric))
    throw new ForestallError('CONFIG_INVALID', `metric ${metric} is not one of ${METRICS.join(', ')}.`)
  const body = bodies.get(service)
  if (body === undefined)
    throw new ForestallError('NOT_FOUND', `No decision about the instances of ${service} stands.`)
  const name = `forestall-${service}-${metric}`
  if (!isLoad(metric)) return { name, value: body.instances, targetPerReplica: 1 }
  return { name, value: body[metric], targetPerReplica: target(metadata['targetPerReplica'], body.capacity) }
}

function target(text: string | undefined, capacity: number): number {
  const value = text === undefined ? capacity : Number(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new ForestallError('CONFIG_INVALID', `targetPerReplica ${text ?? capacity} is not above 0.`)
}
